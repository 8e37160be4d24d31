"""The picture: who still serves the good disks, and how quickly."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from bench.isolation.figures import Run, middle
from bench.isolation.parts import HUNG, SLOW, Samples

_WITHOUT, _WITH = "#9aa5b1", "#c2410c"


class NoMatplotlib(Exception):
    """There is nothing to draw with."""


def require_matplotlib() -> Any:
    """Return its figures. Raises: NoMatplotlib."""
    try:
        matplotlib: Any = import_module("matplotlib")
    except ImportError as error:
        raise NoMatplotlib("matplotlib is missing: `pip install --group plots`") from error
    matplotlib.use("svg")
    # Text stays text, and the same figures give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "isolation"})
    return import_module("matplotlib.pyplot")


def draw(results: dict[str, Samples], file: Path) -> None:
    """Draw what was measured of a disk that hangs and of one that is slow."""
    pyplot = require_matplotlib()
    parts = [part for part in (HUNG, SLOW) if part in results]
    figure, axes = pyplot.subplots(len(parts), 1, figsize=(9, 3.4 * len(parts)), squeeze=False)
    for axis, part in zip(axes[:, 0], parts, strict=True):
        (_draw_rates if part == HUNG else _draw_latencies)(axis, results[part])
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _draw_rates(axis: Any, samples: Samples) -> None:
    for number, pairs in enumerate(samples.values()):
        rates = [
            median(pair.without.rate for pair in pairs),
            median(pair.during.rate for pair in pairs),
        ]
        for shift, rate, colour in ((-0.2, rates[0], _WITHOUT), (0.2, rates[1], _WITH)):
            axis.barh(number + shift, rate, 0.38, color=colour)
            axis.text(rate, number + shift, f" {rate:.0f}", va="center", fontsize=8)
    axis.set_xlabel("requests/s to the nine good devices")
    _finish(axis, samples, "one of ten devices hangs")


def _draw_latencies(axis: Any, samples: Samples) -> None:
    for number, pairs in enumerate(samples.values()):
        for shift, runs, colour in (
            (-0.2, [pair.without for pair in pairs], _WITHOUT),
            (0.2, [pair.during for pair in pairs], _WITH),
        ):
            _draw_spread(axis, number + shift, runs, colour)
    axis.set_xscale("log")
    axis.set_xlabel("ms per request to the seven good devices: p50 to p99, and the longest")
    _finish(axis, samples, "one of eight devices takes 10 to 30 ms")


def _draw_spread(axis: Any, height: float, runs: list[Run], colour: str) -> None:
    p50 = middle([run.p50_ms for run in runs])
    p99 = middle([run.p99_ms for run in runs])
    most = middle([run.max_ms for run in runs])
    if p50 is None or p99 is None or most is None:
        place = axis.get_yaxis_transform()
        axis.text(
            0.01, height, "no answer", transform=place, va="center", color=colour, fontsize=8
        )
        return
    axis.plot([p50, p99], [height, height], color=colour, linewidth=7, solid_capstyle="butt")
    axis.plot([most], [height], "|", color=colour, markersize=9)
    axis.text(most * 1.15, height, f"p99 {p99:.1f}", va="center", fontsize=8)


def _finish(axis: Any, samples: Samples, what: str) -> None:
    axis.set_yticks(range(len(samples)), list(samples))
    axis.margins(x=0.15)
    axis.plot([], [], color=_WITHOUT, linewidth=7, label="all are well")
    axis.plot([], [], color=_WITH, linewidth=7, label=what)
    # Above, where no bar can be.
    axis.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncol=2, frameon=False)
    axis.set_ylim(len(samples) - 0.5, -0.5)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
