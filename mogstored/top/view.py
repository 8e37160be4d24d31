"""What is seen: the tables of nodes and of devices, and the lines around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.text import Text

from mogstored.top import columns
from mogstored.top.columns import make_table
from mogstored.top.model import BUSY_RATIO, FULL_RATIO, NODE_STATES, VERDICTS, Node
from mogstored.top.order import in_order, select, worst_first
from mogstored.top.tables import DEVICE_TABLE, NODE_TABLE, summary

T = TypeVar("T")

# Of the lines of a screen, at most this part shows nodes.
_SHARE_OF_NODES = 3
_WIDE = 100
_FRAME = 4  # the title, two headings, the keys

# By the order of `--sort`: the column that is marked.
_MARKED = {
    "worst": "STATE",
    "utilization": "UTIL",
    "full": "USED",
    "waiting": "WAIT",
    "oldest": "OLDEST",
    "errors": "ERR/S",
    "requests": "REQ/S",
    "name": "DEVICE",
}


@dataclass(slots=True, kw_only=True)
class Look:
    """How the reader wants to see it."""

    sort: str = "worst"
    is_reversed: bool = False
    filter: str = ""
    typed: str | None = None
    """The filter while it is being typed."""
    only: str = ""
    """"nodes" or "devices"; else both."""
    skipped: int = 0
    """Rows above the first one of the list that scrolls."""
    is_paused: bool = False
    shows_help: bool = False


def whole(nodes: Iterable[Node], look: Look, width: int | None) -> RenderableType:
    """Return all nodes and devices, for output that does not scroll."""
    shown_nodes, devices = select(nodes, look.filter)
    shown_nodes = worst_first(shown_nodes)
    devices = in_order(devices, look.sort, look.is_reversed)
    parts: list[RenderableType] = [make_table(NODE_TABLE, shown_nodes, shown_nodes, width)]
    if devices:
        parts += ["", make_table(DEVICE_TABLE, devices, devices, width)]
    return Group(*parts)


def screen(nodes: Sequence[Node], look: Look, size: tuple[int, int], clock: str) -> RenderableType:
    """Return what fills a screen of `size` columns and rows; `look.skipped` is kept in bounds."""
    width, height = size
    if look.shows_help:
        return Group(
            _title(nodes, look, width, clock), *_help(width, height - 2), _keys(look, width)
        )
    shown_nodes, devices = select(nodes, look.filter)
    shown_nodes = worst_first(shown_nodes)
    devices = in_order(devices, look.sort, look.is_reversed)
    rows = max(1, height - _FRAME)
    parts: list[RenderableType] = [_title(nodes, look, width, clock)]
    if look.only == "nodes":
        shown = _page(shown_nodes, look, rows + 1)
        table = make_table(NODE_TABLE, shown_nodes, shown, width)
        parts.append(_filled(table, shown, rows + 1))
    else:
        if look.only != "devices":
            lines = min(len(shown_nodes), max(1, rows // _SHARE_OF_NODES))
            rows -= lines
            parts.append(_nodes_in(lines, shown_nodes, width))
        else:
            rows += 1
        page = _page(devices, look, rows)
        table = make_table(DEVICE_TABLE, devices, page, width, _MARKED[look.sort])
        parts.append(_filled(table, page, rows))
    return Group(*parts, _keys(look, width, len(shown_nodes), len(devices)))


def _nodes_in(lines: int, nodes: Sequence[Node], width: int) -> RenderableType:
    if len(nodes) <= lines:
        return make_table(NODE_TABLE, nodes, nodes, width)
    table = make_table(NODE_TABLE, nodes, nodes[: lines - 1], width)
    rest = nodes[lines - 1 :]
    more = Text(f"and {len(rest)} more: ", columns.DIM) + summary(
        (node.state for node in rest), NODE_STATES
    )
    more.truncate(width, overflow="ellipsis")
    return Group(table, more)


def _page(rows: Sequence[T], look: Look, room: int) -> Sequence[T]:
    look.skipped = max(0, min(look.skipped, len(rows) - room))
    return rows[look.skipped : look.skipped + room]


def _filled(table: RenderableType, page: Sequence[object], rows: int) -> RenderableType:
    blank = "\n" * (rows - len(page) - 1)
    return Group(table, Text(blank)) if len(page) < rows else table


def _title(nodes: Sequence[Node], look: Look, width: int, clock: str) -> Text:
    devices = [device for node in nodes for device in node.devices]
    text = Text.assemble(
        ("mogstored top  " if width >= _WIDE else "", "bold"),
        f"{_count(len(nodes), 'node')}: ",
        summary((node.state for node in nodes), NODE_STATES),
        f"  {_count(len(devices), 'device')}: ",
        summary((device.shown_state for device in devices), VERDICTS),
    )
    right = Text("paused", "bold yellow") if look.is_paused else Text(clock)
    text.truncate(max(0, width - right.cell_len - 1), overflow="ellipsis")
    text.pad_right(width - text.cell_len - right.cell_len)
    return text + right


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _keys(look: Look, width: int, nodes: int = 0, devices: int = 0) -> Text:
    if look.typed is not None:
        text = Text.assemble((" filter: ", "bold"), look.typed, ("█", "blink"))
        text.append("   Enter keeps it, Esc drops it", columns.DIM)
    elif look.shows_help:
        text = Text(" any key: back")
    else:
        direction = ", reversed" if look.is_reversed else ""
        text = Text(f" q quit  h help  s sort: {look.sort}{direction}  / filter")
        if look.filter:
            text.append(f": {look.filter}", "bold")
        text.append("  p resume" if look.is_paused else "  p pause")
        total = nodes if look.only == "nodes" else devices
        if look.skipped or total:
            text.append(f"  from {look.skipped + 1} of {total}")
    text.truncate(width, overflow="ellipsis")
    text.pad_right(width - text.cell_len)
    text.stylize("reverse")
    return text


_HELP = (
    ("q, Ctrl-C", "quit"),
    ("p, space", "pause: the picture stays, the nodes are asked on"),
    ("/", "filter by words in names, paths and states; Esc ends it"),
    ("s, r", "next order of devices; reversed"),
    ("w u f n", "order: worst first, utilization, full, name"),
    ("a o e t", "order: waiting, oldest waiting, errors, requests"),
    ("v", "both tables, nodes alone, devices alone"),
    ("arrows, PgUp, PgDn", "scroll; Home and End, too"),
    ("", ""),
    ("BUSY, WAIT", "requests at the device, and waiting; OLDEST: for how long"),
    ("hung, failed", "the disk answers no more, or with errors"),
    ("read-only, unmounted", "nothing can be written; the disk is not mounted"),
    ("down, no-writes", "out of use after errors, or by the operator; no new files"),
    (
        "no answer, no usage",
        "of its usage file, where there is no admin listener",
    ),
    ("full, busy", f"{FULL_RATIO:.0%} used, or utilization of {BUSY_RATIO:.0%}"),
    ("waiting, errors", "requests wait for the device; new errors"),
)


def _help(width: int, height: int) -> Iterable[Text]:
    lines = [("", ""), *_HELP, *[("", "")] * height]
    for keys, meaning in lines[:height]:
        text = Text.assemble((f" {keys:22}", "bold"), meaning)
        text.truncate(width, overflow="ellipsis")
        yield text
