"""matplotlib, which only the pictures need: the same figures give the same bytes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from bench.base.machine import Unmeasurable

ENDINGS = (".svg", ".png")
# Text stays text, and ids are not random.
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9.0}


def require_matplotlib() -> Any:
    """Return it. Raises: Unmeasurable."""
    try:
        matplotlib: Any = import_module("matplotlib")
    except ImportError as error:
        raise Unmeasurable(
            f"no plot, since matplotlib is missing ({error}): `pip install --group plots`"
        ) from error
    matplotlib.rcParams.update(_STYLE)
    return matplotlib


def new_figure(width: float, height: float) -> Any:
    require_matplotlib()
    return import_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")


def finish(axes: Any, names: list[str]) -> None:
    """One line for each name, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Any, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else {})
