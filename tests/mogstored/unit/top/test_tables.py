"""The columns of the two tables: what is in them, how it is coloured, and what fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from rich.text import Text

from mogstored.top import columns
from mogstored.top.columns import Layout
from mogstored.top.model import NODE_STATES, VERDICTS, Device, Node
from mogstored.top.tables import DEVICE_TABLE, NODE_TABLE, summary
from tests.mogstored.unit.top.test_view import lines_of

_DEVICE = Device(
    node="stor1",
    device="dev7",
    source="/dev/sda",
    state="ok",
    size_bytes=2**40,
    available_bytes=2**38,
    utilization_ratio=0.95,
    utilization_history=(0.0, None, 1.0),
    in_flight=10,
    waiting=3,
    oldest_waiting_seconds=2.5,
    errors_total=1234,
    errors_per_second=0.5,
    requests_per_second=77,
    scrub_findings=2,
)
_NODE = Node(
    node="stor1",
    state="not ready",
    detail="no device",
    version="1.2.3",
    uptime_seconds=90_061.0,
    connections=7,
    requests_per_second=78,
    failed_requests_per_second=1.5,
    received_bytes_per_second=2048,
    sent_bytes_per_second=4096,
    devices=(_DEVICE,),
)
_LONG = "x" * 200
_LONG_DEVICE = replace(
    _DEVICE,
    node=_LONG,
    device=_LONG,
    source=_LONG,
    state=_LONG,
    utilization_history=(0.5,) * 60,
)
_LONG_NODE = replace(_NODE, node=_LONG, version=_LONG, detail=_LONG)


def cells(layout: Layout[Any], row: object) -> dict[str, Text]:
    return {column.title: column.cell(row, 10) for column in layout.columns}


def widths(layout: Layout[Any], row: object, width: int | None) -> dict[str, int]:
    """Return the widths of the columns that are shown, each without the gap behind it."""
    found = columns.make_table(layout, [row], [row], width).columns
    titles = [str(column.header).strip() for column in found]
    sizes = [(column.width or 0) - 1 for column in found]
    sizes[-1] += 1
    return dict(zip(titles, sizes, strict=True))


def test_row_of_a_node() -> None:
    heading, row = lines_of(columns.make_table(NODE_TABLE, [_NODE], [_NODE], None), 1000)
    assert heading == (
        "NODE  STATE      DEV            USED  SIZE  CONN REQ/S 5XX/S  IN/S OUT/S    UP VERSION "
        "NOTE             "
    )
    assert row == (
        "stor1 not ready    1 ━━━━━━━━──  75%  1.0T     7    78   1.5  2.0K  4.0K   25h 1.2.3   "
        "1 busy, no device"
    )


def test_row_of_a_device() -> None:
    heading, row = lines_of(columns.make_table(DEVICE_TABLE, [_DEVICE], [_DEVICE], None), 1000)
    assert heading == (
        "DEVICE NODE  STATE              USED  SIZE UTIL HISTORY BUSY WAIT OLDEST ERR/S REQ/S "
        "ERRORS FINDINGS SOURCE  "
    )
    assert row == (
        "dev7   stor1 busy  ━━━━━━━━━───  75%  1.0T  95% ▁ █       10    3  2.50s   0.5    77 "
        "  1234        2 /dev/sda"
    )


_NODE_WIDTHS = {
    "NODE": (20, 40),
    "STATE": (9, 9),
    "DEV": (4, 4),
    "USED": (4, 15),
    "SIZE": (5, 5),
    "CONN": (5, 5),
    "REQ/S": (5, 5),
    "5XX/S": (5, 5),
    "IN/S": (5, 5),
    "OUT/S": (5, 5),
    "UP": (5, 5),
    "VERSION": (7, 12),
    "NOTE": (36, 100),
}
_DEVICE_WIDTHS = {
    "DEVICE": (6, 20),
    "NODE": (16, 40),
    "STATE": (9, 12),
    "USED": (9, 17),
    "SIZE": (5, 5),
    "UTIL": (4, 4),
    "HISTORY": (12, 30),
    "BUSY": (4, 4),
    "WAIT": (4, 4),
    "OLDEST": (6, 6),
    "ERR/S": (5, 5),
    "REQ/S": (5, 5),
    "ERRORS": (6, 6),
    "FINDINGS": (8, 8),
    "SOURCE": (9, 30),
}


@pytest.mark.parametrize(
    ("layout", "row", "expected"),
    [(NODE_TABLE, _LONG_NODE, _NODE_WIDTHS), (DEVICE_TABLE, _LONG_DEVICE, _DEVICE_WIDTHS)],
    ids=["nodes", "devices"],
)
def test_columns_are_wide_as_there_is_room(
    layout: Layout[Any], row: object, expected: dict[str, tuple[int, int]]
) -> None:
    least = {title: width for title, (width, _) in expected.items()}
    most = {title: width for title, (_, width) in expected.items()}
    gaps = len(expected) - 1
    assert widths(layout, row, None) == widths(layout, row, 1000) == most
    assert widths(layout, row, sum(least.values()) + gaps) == least
    assert len(widths(layout, row, sum(least.values()) + gaps - 1)) < len(least)
    assert sum(widths(layout, row, 150).values()) <= 150
    first, second = layout.ranks[:2]
    (cell,) = widths(layout, row, 1).items()
    assert cell == (first, least[first])
    # The more important one is the first to get room.
    room = least[first] + least[second] + 1
    assert widths(layout, row, room + 3) == {first: least[first] + 3, second: least[second]}


@pytest.mark.parametrize("layout", [NODE_TABLE, DEVICE_TABLE], ids=["nodes", "devices"])
def test_every_column_has_a_rank(layout: Layout[Any]) -> None:
    assert sorted(layout.ranks) == sorted(column.title for column in layout.columns)


def _styled(text: Text) -> Iterator[tuple[str, str]]:
    yield from ((text.plain[s.start : s.end], str(s.style)) for s in text.spans)


@pytest.mark.parametrize(
    ("state", "style"),
    [
        *((state, "bold red") for state in ("down", "hung", "failed", "no answer")),
        *((state, "bold yellow") for state in ("no-writes", "read-only", "unmounted")),
        *((state, "yellow") for state in ("melting", "no usage", "findings", "unknown")),
        ("ok", "green"),
    ],
)
def test_states_have_colours(state: str, style: str) -> None:
    cell = cells(DEVICE_TABLE, Device(node="stor1", device="dev7", state=state))["STATE"]
    assert (cell.plain, str(cell.style)) == (state, style)


@pytest.mark.parametrize(
    ("state", "style"),
    [
        ("no answer", "bold red"),
        ("bad answer", "bold red"),
        ("no HTTP", "bold red"),
        ("not ready", "bold yellow"),
        ("draining", "yellow"),
        ("asking", "dim"),
        ("ok", "green"),
    ],
)
def test_states_of_nodes_have_colours(state: str, style: str) -> None:
    cell = cells(NODE_TABLE, replace(_NODE, state=state))["STATE"]
    assert (cell.plain, str(cell.style)) == (state, style)


@pytest.mark.parametrize(
    ("title", "fields", "style"),
    [
        ("USED", {"size_bytes": 100, "available_bytes": 16}, "green"),
        ("USED", {"size_bytes": 100, "available_bytes": 15}, "yellow"),
        ("USED", {"size_bytes": 100, "available_bytes": 2}, "yellow"),
        ("USED", {"size_bytes": 100, "available_bytes": 1}, "bold red"),
        ("UTIL", {"utilization_ratio": 0.59}, "green"),
        ("UTIL", {"utilization_ratio": 0.6}, "yellow"),
        ("UTIL", {"utilization_ratio": 0.89}, "yellow"),
        ("UTIL", {"utilization_ratio": 0.9}, "bold red"),
        ("WAIT", {"waiting": 1}, "yellow"),
        ("WAIT", {"waiting": 0}, "dim"),
        ("OLDEST", {"oldest_waiting_seconds": 1}, "yellow"),
        ("ERR/S", {"errors_per_second": 1}, "bold red"),
        ("FINDINGS", {"scrub_findings": 1}, "yellow"),
        ("DEVICE", {}, "bold"),
        ("SOURCE", {}, "dim"),
    ],
)
def test_values_have_colours(title: str, fields: dict[str, Any], style: str) -> None:
    cell = cells(DEVICE_TABLE, replace(_DEVICE, **fields))[title]
    assert style in {str(cell.style), *(name for _, name in _styled(cell))}


def test_note_of_a_node_counts_what_its_devices_suffer_from() -> None:
    states = ["ok", "melting", "hung", "no-writes", "hung", "findings"]
    devices = tuple(Device(node="n", device=f"dev{i}", state=s) for i, s in enumerate(states))
    busy = replace(_DEVICE, device="dev9")
    note = cells(NODE_TABLE, replace(_NODE, devices=(*devices, busy)))["NOTE"]
    assert note.plain == "2 hung, 1 no-writes, 1 melting, 1 busy, 1 findings, no device"
    found = [style for _, style in _styled(note)]
    assert found == ["bold red", "bold yellow", "yellow", "yellow", "yellow"]
    fine = cells(NODE_TABLE, replace(_NODE, state="ok", devices=(), detail="by the way"))["NOTE"]
    assert list(_styled(fine)) == [("by the way", "dim")]
    assert cells(NODE_TABLE, replace(_NODE, devices=(), detail=""))["NOTE"].plain == ""


@pytest.mark.parametrize(
    ("states", "ranks", "shown", "style"),
    [
        (["ok", "ok"], VERDICTS, "ok", "green"),
        ([], NODE_STATES, "ok", "green"),
        (["busy", "ok", "hung", "busy"], VERDICTS, "1 hung, 2 busy", "bold red"),
        (["busy", "melting", "no usage"], VERDICTS, "1 no usage, 1 melting, 1 busy", "yellow"),
        (["asking", "no answer", "ok"], NODE_STATES, "1 no answer, 1 asking", "bold red"),
    ],
)
def test_summary_has_the_worst_first(
    states: list[str], ranks: tuple[str, ...], shown: str, style: str
) -> None:
    text = summary(states, ranks)
    assert text.plain == shown
    assert style in {str(text.style), *(name for _, name in _styled(text))}
