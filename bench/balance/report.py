"""Both experiments as lines of the table, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.balance import latency
from bench.balance.arrivals import Shares, arrive, shares_of
from bench.balance.latency import Milliseconds, Round, milliseconds, offers
from bench.balance.server import LONG_S
from bench.balance.ways import Layout, Way, layouts, serving, why_not
from bench.base import plots
from bench.base.goals import GOALS
from bench.base.machine import require_files
from bench.base.outcome import Outcome
from bench.environment import Environment

_PROCESSES, _THREADS = 4, 2
_BURST = 64
# Below this a connection more or less is no unevenness: largest/mean cannot be judged.
_JUDGED_FROM = 100
_BLUES = ("#08306b", "#2171b5", "#6baed6", "#c6dbef")
_MARKS = {"p50": ("o", "#2171b5"), "p99": ("D", "#e6550d"), "max": ("|", "#a50f15")}


def connections(environment: Environment) -> Iterator[Outcome]:
    scale = environment.scale
    require_files(max(scale.arrivals, scale.bursts * _BURST))
    for way in Way:
        if (reason := why_not(way)) is not None:
            yield Outcome(way.value, f"skipped: {reason}")
            continue
        environment.progress(way.value)
        with serving(Layout("", _PROCESSES, 0, way)) as (address, processes):
            slow = arrive(address, processes, [1] * scale.arrivals)
            bursts = arrive(address, processes, [_BURST] * scale.bursts)
        yield from spread_lines(way, shares_of(slow, _PROCESSES), shares_of(bursts, _PROCESSES))


def spread_lines(way: Way, slow: Shares, bursts: Shares) -> Iterator[Outcome]:
    judged = way is Way.BLOCKING and slow.total >= _JUDGED_FROM * len(slow.counts)
    goal = GOALS["balance"]
    yield Outcome(
        f"{way.value}: {slow.total}, slowly",
        f"largest/mean {slow}",
        str(goal) if judged else "",
        goal.is_met(slow.unevenness) if judged else None,
        {"way": way.value, "slow": slow, "bursts": bursts},
    )
    yield Outcome(f"  in bursts, {bursts.total}", f"largest/mean {bursts}")


def latencies(environment: Environment) -> Iterator[Outcome]:
    load = " and ".join(
        f"{offer.per_second:g}/s {name} by {offer.clients} clients"
        for name, offer in zip(
            ("short", "long"), offers(_PROCESSES * _THREADS).values(), strict=True
        )
    )
    yield Outcome(f"requests: {load}; long ones block for {LONG_S * 1e3:g} ms")
    compared = [each for each in layouts(_PROCESSES, _THREADS) if why_not(each.way) is None]
    for layout, rounds in latency.measure(compared, environment).items():
        yield from latency_lines(layout, rounds)


def latency_lines(layout: str, rounds: Sequence[Round]) -> Iterator[Outcome]:
    short = milliseconds([each.short_s for each in rounds])
    samples = {"layout": layout, "short": short, "rounds": rounds}
    yield Outcome(f"{layout}, short requests, ms", str(short), samples=samples)
    yield Outcome("  its long requests", str(milliseconds([each.long_s for each in rounds])))


def plot(outcomes: Sequence[Outcome], file: Path) -> None:
    """One bar for each way, cut into the shares of its processes; and one line for each layout."""
    samples: list[Mapping[str, Any]] = [each.samples for each in outcomes]
    shares = [each for each in samples if "way" in each]
    lines = {each["layout"]: each["short"] for each in samples if "layout" in each}
    figure = plots.new_figure(9.0, 5.4)
    grid = figure.add_gridspec(2, 2)
    left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    _draw_shares(left, {each["way"]: each["slow"] for each in shares}, "one at a time")
    _draw_shares(right, {each["way"]: each["bursts"] for each in shares}, "in bursts")
    right.set_yticklabels([])
    _draw_latencies(figure.add_subplot(grid[1, :]), lines)
    plots.save(figure, file)


def _draw_shares(axes: Any, shares: Mapping[str, Shares], arriving: str) -> None:
    for row, each in enumerate(shares.values()):
        begin = 0.0
        for number, count in enumerate(each.counts):
            width, color = 100 * count / each.total, _BLUES[number % len(_BLUES)]
            axes.barh(row, width, left=begin, color=color, edgecolor="white", height=0.7)
            begin += width
        axes.text(101, row, f"{each.unevenness:.2f}", va="center")
    axes.set_xlim(0, 100)
    axes.set_xlabel("%, by process; beside: largest/mean")
    axes.set_title(f"connections arriving {arriving}", fontsize=9, loc="left")
    plots.finish(axes, list(shares))


def _draw_latencies(axes: Any, lines: Mapping[str, Milliseconds]) -> None:
    """From the median to the worst, on a logarithmic scale."""
    for row, found in enumerate(lines.values()):
        axes.plot([found.p50, found.max], [row, row], color="#bdbdbd", zorder=1)
        for name, (mark, color) in _MARKS.items():
            label = name if row == 0 else None
            ms = getattr(found, name)
            axes.scatter([ms], [row], marker=mark, color=color, label=label, s=60, zorder=2)
        axes.text(found.max * 1.15, row, f"{found.max:.0f} ms", va="center")
    axes.margins(x=0.12)
    axes.set_xscale("log")
    axes.set_xlabel(
        "latency, ms: medians of the rounds.  n x m: n processes with m threads each on one queue"
    )
    axes.set_title("short requests beside long ones", fontsize=9, loc="left")
    if lines:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, frameon=False)
    plots.finish(axes, list(lines))
