"""What a part found out, and the table of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_ROW = "{:<56} {:<24} {:<47} {}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table, and the samples behind it."""

    what: str
    goal: str
    figure: str
    is_met: bool | None
    """None where there is no goal: the figure stands beside one that has."""
    samples: Mapping[str, object]

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: ""}[self.is_met]


def heading() -> str:
    return _ROW.format("what", "goal", "figure", "verdict")


def row(outcome: Outcome) -> str:
    cells = (outcome.what, outcome.goal, outcome.figure, outcome.verdict)
    return _ROW.format(*cells).rstrip()


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median, lowest and highest, as all tables here show them."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f}){unit}"


def write_json(file: Path, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> None:
    results = [
        {
            "what": each.what.strip(),
            "goal": each.goal,
            "figure": each.figure,
            "is_met": each.is_met,
            "samples": dict(each.samples),
        }
        for each in outcomes
    ]
    file.write_text(json.dumps({"header": dict(facts), "results": results}, indent=1) + "\n")
