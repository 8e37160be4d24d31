"""The picture of both experiments; needs matplotlib, which nothing else here does.

The same findings give the same bytes: no date, no random names, text as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.balance.findings import Spread, milliseconds
from bench.balance.latency import Round
from bench.balance.layouts import Layout
from bench.balance.shares import Shares
from bench.balance.ways import Way

ENDINGS = (".svg", ".png")
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "balance", "font.size": 9.0}
_BLUES = ("#08306b", "#2171b5", "#6baed6", "#c6dbef")
_MARKS = {"p50": ("o", "#2171b5"), "p99": ("D", "#e6550d"), "max": ("|", "#a50f15")}


class PlotMissing(Exception):
    """There is no picture, and the message says what would give one."""


def draw(
    file: Path, spreads: Mapping[Way, Spread | str], latencies: Mapping[Layout, Sequence[Round]]
) -> None:
    """Write the picture; its kind is that of the name. Raises: PlotMissing, OSError."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotMissing(
            f"no plot, since matplotlib is missing ({error}): "
            "`pip install --group plots` or `pip install matplotlib`"
        ) from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 5.4), layout="constrained")
        grid = figure.add_gridspec(2, 2)
        found = {way: spread for way, spread in spreads.items() if isinstance(spread, Spread)}
        left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        _shares(left, {way.value: spread.slow for way, spread in found.items()}, "one at a time")
        _shares(right, {way.value: spread.bursts for way, spread in found.items()}, "in bursts")
        right.set_yticklabels([])
        _latencies(figure.add_subplot(grid[1, :]), latencies)
        metadata = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, metadata=metadata)


def _shares(axes: Any, shares: Mapping[str, Shares], arriving: str) -> None:
    """One bar for each way, cut into the shares of its processes."""
    for row, each in enumerate(shares.values()):
        begin = 0.0
        for number, count in enumerate(each.counts):
            width = 100 * count / each.total
            color = _BLUES[number % len(_BLUES)]
            axes.barh(row, width, left=begin, color=color, edgecolor="white", height=0.7)
            begin += width
        axes.text(101, row, f"{each.unevenness:.2f}", va="center")
    axes.set_yticks(range(len(shares)), list(shares))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("%, by process; beside: largest/mean")
    axes.set_title(f"connections arriving {arriving}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _latencies(axes: Any, latencies: Mapping[Layout, Sequence[Round]]) -> None:
    """One line for each layout, from the median to the worst, on a logarithmic scale."""
    for row, rounds in enumerate(latencies.values()):
        found = milliseconds([each.short_s for each in rounds])
        axes.plot([found.p50, found.max], [row, row], color="#bdbdbd", zorder=1)
        for name, (mark, color) in _MARKS.items():
            label = name if row == 0 else None
            ms = getattr(found, name)
            axes.scatter([ms], [row], marker=mark, color=color, label=label, s=60, zorder=2)
        axes.text(found.max * 1.15, row, f"{found.max:.0f} ms", va="center")
    axes.set_yticks(range(len(latencies)), [str(layout) for layout in latencies])
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.15)
    axes.set_xscale("log")
    axes.set_xlabel(
        "latency, ms: medians of the rounds.  n x m: n processes with m threads each on one queue"
    )
    axes.set_title("short requests beside long ones", fontsize=9, loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
