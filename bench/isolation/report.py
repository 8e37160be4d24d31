"""The three situations: one disk hangs, one is slow, one of a hundred hangs; and their picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.base import plots
from bench.base.figures import Sample, middle, rate
from bench.base.goals import GOALS, Goal
from bench.base.outcome import Outcome, beside
from bench.environment import Environment
from bench.isolation.situations import STUCK_REQUESTS, Pair, measure
from bench.servers.peers import NODE

HUNG = f"1 of 10 devices hangs with {STUCK_REQUESTS} requests on it: requests to the other 9"
SLOW = "1 of 8 devices takes 10 to 30 ms for an open: 224 clients of the other 7"
HUNDRED = f"1 of 100 devices hangs with {STUCK_REQUESTS} requests on it: p99 of the other 99"
_WITHOUT, _WITH = "#9aa5b1", "#c2410c"


def hung(environment: Environment) -> Iterator[Outcome]:
    yield from lines(HUNG, measure(environment, 10, slow=False, beside_others=True))


def slow(environment: Environment) -> Iterator[Outcome]:
    yield from lines(SLOW, measure(environment, 8, slow=True, beside_others=True))


def hundred(environment: Environment) -> Iterator[Outcome]:
    found = measure(environment, 100, slow=False, beside_others=False)
    yield from lines(HUNDRED, found, GOALS["hung"])


def lines(
    title: str, found: Mapping[str, Sequence[Pair]], goal: Goal | None = None
) -> Iterator[Outcome]:
    """For each server the p99 with the bad disk, to that without; and both loads in figures."""
    yield Outcome(title)
    for name, pairs in found.items():
        ratios = [pair.p99_ratio for pair in pairs]
        ratio = median(ratios)
        shown = f"p99 {ratio:.2f} x ({min(ratios):.2f}-{max(ratios):.2f})"
        if math.isinf(ratio):
            shown = "not served"
        judged = goal if name.startswith(NODE) else None
        yield Outcome(
            f"  {name}",
            shown,
            str(judged or ""),
            judged.is_met(ratio) if judged else None,
            {"title": title, "server": name, "pairs": pairs},
        )
        for what, samples in (
            ("without", [pair.without for pair in pairs]),
            ("with", [pair.during for pair in pairs]),
        ):
            yield beside(f"  {what}", f"{middle(samples, rate):7.0f}/s  {_latencies(samples)}")


def _latencies(samples: Sequence[Sample]) -> str:
    """Medians, in which no answer counts as longer than every other time."""
    figures: dict[str, Callable[[Sample], float]] = {
        "p50": lambda sample: sample.p50_s,
        "p99": lambda sample: sample.p99_s,
        "max": lambda sample: sample.max_s,
    }
    found = {name: middle(samples, figure) * 1e3 for name, figure in figures.items()}
    shown = [f"{name} {'none' if math.isinf(ms) else f'{ms:.2f}'}" for name, ms in found.items()]
    return "  ".join(shown) + " ms"


def plot(outcomes: Sequence[Outcome], file: Path) -> None:
    """Draw what was measured of a disk that hangs and of one that is slow."""
    found: dict[str, dict[str, Sequence[Pair]]] = {HUNG: {}, SLOW: {}}
    for outcome in outcomes:
        samples: Mapping[str, Any] = outcome.samples
        if samples.get("title") in found:
            found[samples["title"]][samples["server"]] = samples["pairs"]
    drawn = {title: own for title, own in found.items() if own}
    figure = plots.new_figure(9, 3.4 * len(drawn))
    for axes, (title, own) in zip(
        figure.subplots(len(drawn), 1, squeeze=False)[:, 0], drawn.items(), strict=True
    ):
        for row, pairs in enumerate(own.values()):
            for shift, colour, runs in (
                (-0.2, _WITHOUT, [pair.without for pair in pairs]),
                (0.2, _WITH, [pair.during for pair in pairs]),
            ):
                (_draw_rate if title == HUNG else _draw_spread)(axes, row + shift, runs, colour)
        if title == SLOW:
            axes.set_xscale("log")
            axes.set_xlabel("ms for a request to the seven others: p50 to p99, and the longest")
        else:
            axes.set_xlabel("requests/s to the nine good devices")
        axes.margins(x=0.15)
        axes.plot([], [], color=_WITHOUT, linewidth=7, label="all are well")
        axes.plot([], [], color=_WITH, linewidth=7, label=title.partition(":")[0])
        # Above, where no bar can be.
        axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncol=2, frameon=False)
        plots.finish(axes, list(own))
    plots.save(figure, file)


def _draw_rate(axes: Any, height: float, runs: Sequence[Sample], colour: str) -> None:
    reached = middle(runs, rate)
    axes.barh(height, reached, 0.38, color=colour)
    axes.text(reached, height, f" {reached:.0f}", va="center", fontsize=8)


def _draw_spread(axes: Any, height: float, runs: Sequence[Sample], colour: str) -> None:
    p50, p99, longest = (
        median(getattr(run, name) for run in runs) * 1e3 for name in ("p50_s", "p99_s", "max_s")
    )
    if math.isinf(longest):
        transform = axes.get_yaxis_transform()
        axes.text(0.01, height, "no answer", transform=transform, va="center", color=colour)
        return
    axes.plot([p50, p99], [height, height], color=colour, linewidth=7, solid_capstyle="butt")
    axes.plot([longest], [height], "|", color=colour, markersize=9)
    axes.text(longest * 1.15, height, f"p99 {p99:.1f}", va="center", fontsize=8)
