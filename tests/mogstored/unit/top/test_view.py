"""What the tables show, at all widths, whatever is in them."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.screen import Screen
from rich.text import Text

from mogstored.top import columns
from mogstored.top.model import Device, Node
from mogstored.top.sources.status import parse_status
from mogstored.top.view import Look, screen, whole
from tests.support.status_servers import device_of, status_of
from tests.support.waiting import PATIENCE

# Markup of rich, a link, an emoji's name, wide and combining characters.
_HOSTILE = "[red]x[/red][link=http://e/]y[/link]:boom:漢字é́"
_CLOCK = "12:34:56"


def lines_of(picture: RenderableType, width: int, *, color: bool = False) -> list[str]:
    console = Console(
        width=width,
        height=200,
        file=io.StringIO(),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        _environ={},
    )
    with console.capture() as captured:
        console.print(picture)
    return captured.get().splitlines()


def node_of(name: str, *devices: dict[str, Any], **node: Any) -> Node:
    return parse_status(json.dumps(status_of(*devices, **node)).encode(), name)


def cluster(nodes: int, devices: int) -> list[Node]:
    return [
        node_of(f"stor{n}", *(device_of(f"dev{n * devices + d}") for d in range(devices)))
        for n in range(nodes)
    ]


def drawn(nodes: Sequence[Node], width: int, height: int, **look: Any) -> list[str]:
    picture = screen(nodes, Look(**look), (width, height), _CLOCK)
    console = Console(width=width, height=height, file=io.StringIO(), _environ={})
    with console.capture() as captured:
        console.print(Screen(picture), end="")
    return captured.get().split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (60, 16), (40, 10), (20, 5)])
@pytest.mark.parametrize(("nodes", "devices"), [(1, 1), (40, 12), (2, 0), (0, 0)])
@pytest.mark.parametrize("only", ["", "nodes", "devices"])
def test_picture_fills_the_screen_and_no_more(
    width: int, height: int, nodes: int, devices: int, only: str
) -> None:
    picture = screen(cluster(nodes, devices), Look(only=only), (width, height), _CLOCK)
    lines = lines_of(picture, width)
    assert [line for line in lines if cell_len(line) > width] == []
    assert len(lines) == height
    assert lines[-1].startswith(" q quit  h help")


@pytest.mark.parametrize("width", [1, 2, 7])
def test_tiny_terminal_is_no_error(width: int) -> None:
    assert len(drawn(cluster(2, 2), width, 2)) == 2


def test_80_columns_show_what_matters() -> None:
    row = device_of("dev7", state="hung", in_flight=10, waiting=37, oldest_waiting_seconds=48.2)
    title, nodes, node, devices, device, *_ = drawn([node_of("stor1", row)], 80, 24)
    assert title.split("  ")[:2] == ["1 node: ok", "1 device: 1 hung"]
    assert title.endswith(_CLOCK)
    assert nodes.split()[:4] == ["NODE", "STATE", "DEV", "USED"]
    assert nodes.split()[-1] == "NOTE"
    assert node.split()[:3] == ["stor1", "ok", "1"]
    assert node.rstrip().endswith("1 hung")
    assert devices.split()[:3] == ["DEVICE", "NODE", "STATE"]
    assert {"USED", "UTIL", "WAIT", "OLDEST", "ERR/S"} <= set(devices.split())
    assert device.split()[:3] == ["dev7", "stor1", "hung"]
    for shown in ("50%", "1.0T", "12%", "10", "37", "48s"):
        assert shown in device.split()


def test_more_nodes_than_fit_are_summed_up() -> None:
    silent = [Node(node=f"gone{i}", state="no answer") for i in range(8)]
    lines = drawn([*cluster(8, 1), *silent], 80, 24)
    (more,) = (line for line in lines if line.startswith("and "))
    assert more.rstrip() == "and 11 more: 3 no answer"


def test_scrolling_stays_within_the_list() -> None:
    nodes = cluster(2, 50)
    look = Look(sort="name", skipped=10_000)
    lines = lines_of(screen(nodes, look, (80, 24), _CLOCK), 80)
    assert lines[-2].split()[0] == "dev99"
    assert lines[-1].rstrip().endswith(f"from {look.skipped + 1} of 100")
    look.skipped = -5
    lines = lines_of(screen(nodes, look, (80, 24), _CLOCK), 80)
    assert (look.skipped, lines[-1].rstrip().endswith("from 1 of 100")) == (0, True)


def test_filter_while_it_is_typed() -> None:
    lines = drawn(cluster(2, 2), 80, 24, filter="stor1 dev2", typed="stor1 dev2")
    assert "filter: stor1 dev2" in lines[-1]
    assert [line.split()[0] for line in lines[1:] if line.startswith(("stor", "dev"))] == [
        "stor1",
        "dev2",
    ]


def test_help_fits_80_by_24() -> None:
    lines = drawn(cluster(1, 1), 80, 24, shows_help=True)
    text = "\n".join(lines)
    assert all(key in text for key in ("Ctrl-C", "pause", "filter", "reversed", "scroll"))
    assert "…" not in "\n".join(lines[1:])
    assert lines[-1].startswith(" any key")
    assert len(lines) == 24


def test_paused_is_said() -> None:
    assert drawn([], 80, 24, is_paused=True)[0].rstrip().endswith("paused")


@pytest.mark.parametrize("width", [None, 80, 200])
def test_hostile_text_is_shown_as_it_is(width: int | None) -> None:
    row = device_of(_HOSTILE, state=_HOSTILE, source=_HOSTILE)
    node = node_of("stor1", row, version=_HOSTILE, ready=False, not_ready_reasons=[_HOSTILE])
    picture = whole([node], Look(filter="[red]"), width)
    lines = lines_of(picture, 10_000, color=True)
    text = Text.from_ansi("\n".join(lines))
    assert "[red]x" in text.plain
    assert "💥" not in text.plain
    assert not any("link" in str(span.style) for span in text.spans)
    if width is None:
        # The name of the device, and the reason in the node's note; the others are cut off.
        assert text.plain.count(_HOSTILE) == 2
    else:
        assert max(map(cell_len, text.plain.splitlines())) <= width


def test_output_for_pipes_is_not_cut() -> None:
    name = "stor1.a-rather-long-name.example"
    row = device_of("dev1", source="/dev/mapper/vg-lv")
    lines = lines_of(whole([node_of(name, row)], Look(), None), 10_000)
    assert [line.split()[0] for line in lines if line.strip()] == ["NODE", name, "DEVICE", "dev1"]
    assert lines[-1].split()[1] == name
    assert lines[-1].rstrip().endswith("/dev/mapper/vg-lv")


def test_title_of_the_column_by_which_devices_are_ordered_stands_out() -> None:
    shown: columns.Layout[str] = columns.Layout(
        "A B C", *(columns.Column(title=title, cell=lambda row, _: Text(row)) for title in "ABC")
    )
    table = columns.make_table(shown, ["x"], ["x"], None, marked="B")
    titles = [column.header for column in table.columns]
    styles = [str(each.spans[0].style) for each in titles if isinstance(each, Text)]
    assert ["reverse" in style for style in styles] == [False, True, False]


def test_columns_stand_one_below_the_other() -> None:
    lines = lines_of(whole(cluster(2, 11), Look(), 120), 120)
    places = {line.index("ok") for line in lines if line.startswith("dev")}
    assert len(places) == 1


@pytest.mark.parametrize(
    ("show", "value", "shown"),
    [
        (columns.number, None, "-"),
        (columns.number, 0, "0"),
        (columns.number, 0.04, "0.1"),
        (columns.number, 3, "3"),
        (columns.number, 2.25, "2.2"),
        (columns.number, 9999, "9999"),
        (columns.number, 12_345, "12.3K"),
        (columns.number, 1e23, "100Z"),
        (columns.size, 0, "0"),
        (columns.size, 999, "999"),
        (columns.size, 1000, "1.0K"),
        (columns.size, 14.55 * 2**40, "14.6T"),
        (columns.size, 234 * 2**40, "234T"),
        (columns.size, 1023.9 * 2**40, "1.0P"),
        (columns.percent, None, "-"),
        (columns.percent, 0.0, "0%"),
        (columns.percent, 1.0, "100%"),
        (columns.seconds, None, "-"),
        (columns.seconds, 0, "0"),
        (columns.seconds, 0.345, "0.34s"),
        (columns.seconds, 9.99, "9.99s"),
        (columns.seconds, 9.999, "10s"),
        (columns.seconds, 10, "10s"),
        (columns.seconds, 48.2, "48s"),
        (columns.seconds, 99, "99s"),
        (columns.seconds, 100, "1m40s"),
        (columns.seconds, 303, "5m03s"),
        (columns.seconds, 599, "9m59s"),
        (columns.seconds, 600, "10m"),
        (columns.seconds, 1234, "20m"),
        (columns.seconds, 5999, "99m"),
        (columns.seconds, 6000, "1h40m"),
        (columns.seconds, 7800, "2h10m"),
        (columns.seconds, 35_999, "9h59m"),
        (columns.seconds, 36_000, "10h"),
        (columns.seconds, 100_000, "27h"),
        (columns.seconds, 48 * 3600 - 1, "47h"),
        (columns.seconds, 48 * 3600, "2d"),
        (columns.seconds, 1e6, "11d"),
    ],
)
def test_values_are_short(
    show: Callable[[float | None], Text], value: float | None, shown: str
) -> None:
    assert show(value).plain == shown


@pytest.mark.parametrize(
    ("cell", "style"),
    [
        (columns.percent(None), "dim"),
        (columns.percent(0.0049), "dim"),
        (columns.percent(0.005), ""),
        (columns.percent(0.0, "red"), "red"),
        (columns.number(None, "red"), "dim"),
        (columns.number(0, "red"), "dim"),
        (columns.number(1, "red"), "red"),
        (columns.size(None), "dim"),
        (columns.size(0), "dim"),
        (columns.size(1), ""),
        (columns.seconds(None, "red"), "dim"),
        (columns.seconds(0, "red"), "dim"),
        (columns.plain(None, "red"), "dim"),
        (columns.plain("", "red"), "dim"),
        (columns.plain("x", "red"), "red"),
        *((columns.seconds(value, "red"), "red") for value in (1, 50, 99.5, 300, 3000, 9e3, 9e5)),
    ],
)
def test_nothing_is_dim_and_values_have_their_style(cell: Text, style: str) -> None:
    assert str(cell.style) == style


@pytest.mark.parametrize("exponent", range(-3, 25))
@pytest.mark.parametrize("digit", [1, 4.99, 9.4, 9.95, 9.994, 9.996, 9.99999])
def test_numbers_of_all_sizes_have_room(exponent: int, digit: float) -> None:
    value = min(digit * 10.0**exponent, 1e24)
    assert len(columns.number(value).plain) <= 5
    assert len(columns.size(value).plain) <= 5


@pytest.mark.parametrize(
    ("ratio", "width", "shown"),
    [
        (0.0, 10, "─────   0%"),
        (0.001, 10, "━────   0%"),
        (0.5, 9, "━━──  50%"),
        (1.0, 10, "━━━━━ 100%"),
        (0.5, 7, "50%"),
        (None, 10, "-"),
    ],
)
def test_bar(ratio: float | None, width: int, shown: str) -> None:
    assert columns.bar(ratio, width, "green").plain == shown


def test_history_shows_the_latest() -> None:
    assert columns.history((1.0, 0.0, None, 0.5, 1.0), 4).plain == "▁ ▅█"


def test_hundreds_of_devices_are_drawn_quickly() -> None:
    """Only what is on the screen is laid out in full; a second is far beyond what that takes."""
    devices = tuple(
        Device(node="n", device=f"dev{i}", state="ok", utilization_ratio=i / 500)
        for i in range(500)
    )
    nodes = [Node(node=f"n{i}", state="ok", devices=devices) for i in range(10)]
    began = time.thread_time()
    drawn(nodes, 80, 24)
    assert time.thread_time() - began < 1.0 * PATIENCE
