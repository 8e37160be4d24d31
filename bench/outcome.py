"""What a measurement found out: goal, figure and verdict, and the table of such lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.goals import Goal

_ROW = "{:<64} {:<24} {:<47} {}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table, and the samples behind it."""

    what: str
    goal: str
    figure: str
    is_met: bool | None
    """None where there is no goal, or no figure: see `why_not`."""
    samples: Mapping[str, object]
    why_not: str = ""
    """Why there is no figure, where there should be one."""

    @property
    def verdict(self) -> str:
        if self.why_not:
            return f"not measured: {self.why_not}"
        return {True: "met", False: "MISSED", None: ""}[self.is_met]


def judged(
    what: str,
    goal: Goal,
    values: Sequence[float],
    samples: Mapping[str, object],
    note: str = "",
) -> Outcome:
    """A line with a goal, judged by the median of the rounds' values."""
    figure = f"{spread(values)} {note}".rstrip()
    return Outcome(what, str(goal), figure, goal.is_met(median(values)), samples)


def beside(what: str, figure: str, samples: Mapping[str, object] | None = None) -> Outcome:
    """A line without a goal, that explains the one above it."""
    return Outcome(f"  {what}", "", figure, None, samples or {})


def heading() -> str:
    return _ROW.format("what", "goal", "figure", "verdict")


def row(outcome: Outcome) -> str:
    cells = (outcome.what, outcome.goal, outcome.figure, outcome.verdict)
    return _ROW.format(*cells).rstrip()


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median, lowest and highest, as all tables here show them."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f}){unit}"


def plain(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON has it."""
    return {
        "what": outcome.what.strip(),
        "goal": outcome.goal,
        "figure": outcome.figure,
        "is_met": outcome.is_met,
        "why_not": outcome.why_not,
        "samples": dict(outcome.samples),
    }


def write_json(file: Path, facts: Mapping[str, str], outcomes: Sequence[Outcome]) -> None:
    results = [plain(each) for each in outcomes]
    file.write_text(json.dumps({"header": dict(facts), "results": results}, indent=1) + "\n")
