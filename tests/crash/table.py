"""Rows on standard output, each printed when it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Table:
    """Columns as wide as `widths`, or as their headings."""

    def __init__(self, headings: Sequence[str], widths: Sequence[int] = ()) -> None:
        given = [*widths, *[0] * (len(headings) - len(widths))]
        self._widths = [max(len(name), at) for name, at in zip(headings, given, strict=True)]
        self.add(headings)

    def add(self, cells: Sequence[object]) -> None:
        padded = [str(cell).ljust(at) for cell, at in zip(cells, self._widths, strict=True)]
        print("  ".join(padded).rstrip(), flush=True)
