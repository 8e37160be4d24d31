"""Tables that fit a width: which columns have room, how wide they are, how values look.

Texts are `Text` objects, never markup: what comes from a node cannot be taken for a style.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

Row = TypeVar("Row")

DIM = "dim"
_BLOCKS = "▁▂▃▄▅▆▇█"
_UNITS = ("", "K", "M", "G", "T", "P", "E", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[Row]):
    """How one value of a row is shown.

    `cell` gets the row and the width. A column is as wide as its title and `least` cells, and up
    to `most` if there is room; one of texts is no wider than what is in it.
    """

    title: str
    cell: Callable[[Row, int], Text]
    least: int = 5
    """The default is that of numbers."""
    most: int = 0
    is_text: bool = False

    @property
    def narrowest(self) -> int:
        return max(self.least, len(self.title))

    def wanted(self, rows: Sequence[Row]) -> int:
        """Return how wide it would be, had it all the room."""
        most = max(self.narrowest, self.most)
        if not self.is_text:
            return most
        widest = max((cell_len(self.cell(row, most).plain) for row in rows), default=0)
        return min(most, max(widest, len(self.title)))


class Layout(Generic[Row]):
    """The columns of a table, from left to right, and their titles, the most important first.

    That is the order in which they get room; what does not fit is left out.
    """

    def __init__(self, ranks: str, *columns: Column[Row]) -> None:
        self.ranks = ranks.split()
        self.columns = columns


def make_table(
    layout: Layout[Row],
    rows: Sequence[Row],
    shown: Sequence[Row],
    width: int | None,
    marked: str = "",
) -> Table:
    """Return a table of the `shown` ones of `rows`; without a `width`, it takes what it needs.

    The widths do not depend on which rows are shown: scrolling moves no column. The column with
    the title `marked` stands out.
    """
    widths = _fit(layout, rows, width)
    table = Table(box=None, padding=0, pad_edge=False, header_style="")
    for i, (column, cells) in enumerate(widths, start=1):
        title = _place(column, Text(column.title), cells)
        title.stylize("bold reverse" if column.title == marked else "bold underline")
        gap = i < len(widths)
        table.add_column(title, width=cells + gap, no_wrap=True)
    for row in shown:
        table.add_row(
            *(_place(column, column.cell(row, cells), cells) for column, cells in widths)
        )
    return table


def _fit(
    layout: Layout[Row], rows: Sequence[Row], width: int | None
) -> list[tuple[Column[Row], int]]:
    wanted = {column.title: column.wanted(rows) for column in layout.columns}
    if width is None:
        return [(column, wanted[column.title]) for column in layout.columns]
    cells = {c.title: min(c.narrowest, wanted[c.title]) for c in layout.columns}
    kept = list(layout.ranks)
    while len(kept) > 1 and sum(cells[title] + 1 for title in kept) - 1 > width:
        kept.pop()
    room = width - sum(cells[title] + 1 for title in kept) + 1
    for title in kept:
        more = min(max(room, 0), wanted[title] - cells[title])
        cells[title] += more
        room -= more
    return [(column, cells[column.title]) for column in layout.columns if column.title in kept]


def _place(column: Column[Row], text: Text, width: int) -> Text:
    """Cut or pad to the width: numbers to the right, texts to the left."""
    text.truncate(width, overflow="ellipsis")
    if column.is_text:
        text.pad_right(width - text.cell_len)
    else:
        text.pad_left(width - text.cell_len)
    return text


def plain(value: str | None, style: str = "") -> Text:
    return Text(value or "-", style if value else DIM)


def number(value: float | None, style: str = "") -> Text:
    """Show a count or a rate in five cells: `0`, `0.3`, `42`, `9999`, `12.3K`."""
    if value is None:
        return Text("-", DIM)
    if not value:
        return Text("0", DIM)
    return Text(_scaled(value, 1000, 10_000), style)


def size(value: float | None) -> Text:
    """Show bytes in five cells: `512`, `1.5K`, `10.9T`."""
    if value is None:
        return Text("-", DIM)
    return Text(_scaled(value, 1024, 1000) if value else "0", "" if value else DIM)


def _scaled(value: float, step: int, limit: int) -> str:
    unit = 0
    while unit < len(_UNITS) - 1 and value >= (limit if unit == 0 else 999.5):
        value /= step
        unit += 1
    if unit == 0 and value >= 10:
        return f"{value:.0f}"
    if unit == 0:
        return f"{value:.0f}" if value == int(value) else f"{max(value, 0.1):.1f}"
    return f"{value:.1f}{_UNITS[unit]}" if value < 99.95 else f"{value:.0f}{_UNITS[unit]}"


def percent(ratio: float | None, style: str = "") -> Text:
    """Show a ratio in four cells."""
    if ratio is None:
        return Text("-", DIM)
    return Text(f"{100 * ratio:.0f}%", style or ("" if ratio >= 0.005 else DIM))


def seconds(value: float | None, style: str = "") -> Text:
    """Show a duration in five cells: `0.35s`, `12s`, `5m03s`, `2h10m`, `41d`."""
    if value is None:
        return Text("-", DIM)
    if not value:
        return Text("0", DIM)
    if value < 9.995:
        return Text(f"{value:.2f}s", style)
    if value < 100:
        return Text(f"{value:.0f}s", style)
    minutes, hours = int(value // 60), int(value // 3600)
    if minutes < 10:
        return Text(f"{minutes}m{int(value % 60):02}s", style)
    if minutes < 100:
        return Text(f"{minutes}m", style)
    if hours < 10:
        return Text(f"{hours}h{minutes % 60:02}m", style)
    return Text(f"{hours}h" if hours < 48 else f"{hours // 24}d", style)


def bar(ratio: float | None, width: int, style: str) -> Text:
    """Show a ratio as a bar and in percent; where there is no room, in percent alone."""
    text = percent(ratio, style)
    cells = width - 5
    if ratio is None or cells < 3:
        return text
    full = min(cells, max(ratio > 0, round(cells * ratio)))
    text.pad_left(5 - text.cell_len)
    return Text.assemble(("━" * full, style), ("─" * (cells - full), DIM), text)


def history(ratios: Sequence[float | None], width: int) -> Text:
    """Show the latest ratios, a block each."""
    top = len(_BLOCKS) - 1
    latest = ratios[-width:]
    return Text("".join(" " if r is None else _BLOCKS[round(r * top)] for r in latest), "cyan")
