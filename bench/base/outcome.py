"""What a measurement found: goal, figure and verdict, and the one table of such lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.base.figures import Sample, by_round, cpu_us, middle, rate, spread
from bench.base.goals import Goal

_ROW = "{:<64} {:<20} {:<47} {}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table, and the samples behind it."""

    what: str
    figure: str = ""
    goal: str = ""
    is_met: bool | None = None
    """None without a goal, and without a figure: see `why_not`."""
    samples: Mapping[str, object] = field(default_factory=dict)
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
    by: Callable[[Sequence[float]], float] = median,
) -> Outcome:
    """A line with a goal, judged by the median of the rounds, or by the worst with `by=max`."""
    return Outcome(what, f"{spread(values)}{note}", str(goal), goal.is_met(by(values)), samples)


def beside(what: str, figure: str, samples: Mapping[str, object] | None = None) -> Outcome:
    """A line without a goal, which explains the one above it."""
    return Outcome(f"  {what}", figure, samples=samples or {})


def heading() -> str:
    return _ROW.format("what", "goal", "figure", "verdict")


def row(outcome: Outcome) -> str:
    cells = (outcome.what, outcome.goal, outcome.figure, outcome.verdict)
    return _ROW.format(*cells).rstrip()


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Work by server: processor time, its ratio to the second server's, and the rate.

    A table for each set of servers.
    """
    lines: list[str] = []
    shown: list[str] = []
    for outcome in outcomes:
        samples = {name: own for name, own in outcome.samples.items() if isinstance(own, Sequence)}
        if len(samples) < 2:
            continue
        if list(samples) != shown:
            shown = list(samples)
            lines += [""] * bool(lines) + [_cells("work", *shown), "|---" * (len(shown) + 1) + "|"]
        _, base, *_ = samples.values()
        lines.append(_cells(outcome.what, *(_reached(own, base) for own in samples.values())))
    return "\n".join(lines)


def _reached(own: Sequence[Sample], base: Sequence[Sample]) -> str:
    ratio = "" if own is base else f", {median(by_round(own, base, cpu_us)):.2f} x"
    return f"{middle(own, cpu_us):.1f} us{ratio}; {middle(own, rate):,.0f}/s"


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
