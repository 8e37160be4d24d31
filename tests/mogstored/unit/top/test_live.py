"""What each key does to the picture, without a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import signal

import pytest
from rich.console import Console

from mogstored.top import keys
from mogstored.top.arguments import NodeAddress, Options
from mogstored.top.live import LiveView
from mogstored.top.model import Device, Node
from mogstored.top.order import SORTS
from tests.support.waiting import PATIENCE_S

_ROWS = 24
# Two lines of nodes, the title, two headings and the keys are no devices.
_SHOWN = _ROWS - 6


class Shown:
    """A view of two nodes, one of which has answered."""

    def __init__(self, **options: str) -> None:
        self._output = io.StringIO()
        console = Console(width=100, height=_ROWS, file=self._output, _environ={})
        nodes = (NodeAddress("stor1"), NodeAddress("stor2"))
        self.view = LiveView(Options(nodes=nodes, **options), console)  # type: ignore[arg-type]
        self.answer(100)

    def answer(self, devices: int) -> None:
        """Let stor1 have so many devices, dev1 the busiest."""
        rows = tuple(
            Device(node="stor1", device=f"dev{i}", state="ok", utilization_ratio=0.8 / i)
            for i in range(1, devices + 1)
        )
        self.view.take(Node(node="stor1", state="ok", devices=rows))

    def lines(self, *pressed: str) -> list[str]:
        """Return the picture after these keys."""
        for key in pressed:
            self.view.press(key)
        self._output.seek(0)
        self._output.truncate()
        self.view.draw()
        return self._output.getvalue().split("\n")

    def devices(self, *pressed: str) -> list[str]:
        return [line.split()[0] for line in self.lines(*pressed) if line.startswith("dev")]

    def first(self, *pressed: str) -> str:
        return self.devices(*pressed)[0]

    def foot(self, *pressed: str) -> str:
        return self.lines(*pressed)[-1].strip()


@pytest.fixture
def shown() -> Shown:
    return Shown()


def test_nodes_that_have_not_answered_are_shown(shown: Shown) -> None:
    lines = shown.lines()
    assert lines[0].startswith("mogstored top  2 nodes: 1 asking  100 devices: ok  ")
    assert [line.split()[:2] for line in lines[2:4]] == [["stor2", "asking"], ["stor1", "ok"]]
    assert len(shown.devices()) == _SHOWN
    assert shown.foot() == "q quit  h help  s sort: worst  / filter  p pause  from 1 of 100"


def test_options_are_the_first_look() -> None:
    shown = Shown(sort="name", filter="dev10")
    assert "s sort: name  / filter: dev10  p pause  from 1 of 2" in shown.foot()
    assert shown.devices() == ["dev10", "dev100"]


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("w", "worst"),
        ("u", "utilization"),
        ("f", "full"),
        ("a", "waiting"),
        ("o", "oldest"),
        ("e", "errors"),
        ("t", "requests"),
        ("n", "name"),
    ],
)
def test_key_of_an_order(shown: Shown, key: str, order: str) -> None:
    foot = shown.foot("j", key)
    assert f"s sort: {order}  " in foot
    assert foot.endswith("from 1 of 100")


def test_s_goes_through_all_orders_and_begins_again(shown: Shown) -> None:
    first, *rest = SORTS
    assert f"sort: {first} " in shown.foot()
    for order in [*rest, first]:
        foot = shown.foot("j", "s")
        assert f"sort: {order} " in foot
        assert foot.endswith("from 1 of 100")


def test_r_turns_the_order_round_and_back(shown: Shown) -> None:
    assert (shown.first("n"), shown.first("r"), shown.first("r")) == ("dev1", "dev100", "dev1")


@pytest.mark.parametrize(
    ("pressed", "skipped"),
    [
        ([keys.DOWN], 1),
        (["j", "j"], 2),
        ([keys.DOWN, keys.DOWN, keys.UP], 1),
        (["j", "j", "k"], 1),
        ([keys.PAGE_DOWN], 12),
        ([keys.PAGE_DOWN, keys.DOWN, keys.PAGE_UP], 1),
        ([keys.END], 100 - _SHOWN),
        ([keys.END, keys.DOWN], 100 - _SHOWN),
        ([keys.END, keys.HOME], 0),
        ([keys.UP], 0),
        (["j", "x"], 1),
        (["j", "r"], 1),
    ],
)
def test_scrolling(shown: Shown, pressed: list[str], skipped: int) -> None:
    shown.lines("n")
    for key in pressed:
        shown.lines(key)
    assert f"from {skipped + 1} of 100" in shown.foot()
    if "r" not in pressed:
        assert shown.first() == f"dev{skipped + 1}"


@pytest.mark.parametrize("key", ["p", " "])
def test_pause(shown: Shown, key: str) -> None:
    paused = shown.lines(key)
    assert paused[0].endswith(" paused")
    assert "p resume" in paused[-1]
    shown.answer(3)
    assert len(shown.devices()) == _SHOWN
    resumed = shown.lines(key)
    assert not resumed[0].endswith(" paused")
    assert "p pause" in resumed[-1]
    assert len(shown.devices()) == 3


@pytest.mark.parametrize("key", ["h", "?"])
def test_any_key_ends_the_help_and_does_nothing_else(shown: Shown, key: str) -> None:
    assert shown.foot(key) == "any key: back"
    assert shown.foot("n").startswith("q quit  h help  s sort: worst  ")


def test_v_shows_both_tables_or_one(shown: Shown) -> None:
    def tables(*pressed: str) -> list[str]:
        heads = ("NODE", "DEVICE")
        return [line.split()[0] for line in shown.lines(*pressed) if line.startswith(heads)]

    assert tables() == ["NODE", "DEVICE"]
    shown.lines("j")
    assert tables("v") == ["NODE"]
    assert shown.foot().endswith("from 1 of 2")
    assert tables("v") == ["DEVICE"]
    assert shown.foot("j").endswith("from 2 of 100")
    assert tables("v") == ["NODE", "DEVICE"]
    assert shown.foot().endswith("from 1 of 100")


def test_filter_is_typed(shown: Shown) -> None:
    assert shown.foot("j", "/") == "filter: █   Enter keeps it, Esc drops it"
    # What is typed are no keys.
    assert shown.foot(*"dev10q") == "filter: dev10q█   Enter keeps it, Esc drops it"
    assert shown.devices(keys.BACKSPACE) == ["dev10", "dev100"]
    # Names of keys are no text.
    assert shown.foot(keys.UP) == "filter: dev10█   Enter keeps it, Esc drops it"
    assert "/ filter: dev10  p pause  from 1 of 2" in shown.foot(keys.ENTER)
    assert shown.foot("/").startswith("filter: dev10█")
    assert "/ filter  p pause  from 1 of 100" in shown.foot(keys.ESCAPE)


def test_escape_drops_a_filter_that_is_kept() -> None:
    assert "/ filter  p pause  from 1 of 100" in Shown(filter="dev10").foot(keys.ESCAPE)


def test_answer_wakes_the_view(shown: Shown) -> None:
    shown.view._wakened.clear()
    shown.answer(1)
    assert shown.view._wakened.is_set()


def test_signal_wakes_the_view_and_is_kept_for_it(shown: Shown) -> None:
    view = shown.view

    async def run() -> None:
        with view._signals_noted():
            for number in (signal.SIGWINCH, signal.SIGTERM):
                view._wakened.clear()
                os.kill(os.getpid(), number)
                async with asyncio.timeout(PATIENCE_S):
                    await view._wakened.wait()
        loop = asyncio.get_running_loop()
        assert not any(map(loop.remove_signal_handler, (signal.SIGWINCH, signal.SIGTERM)))

    asyncio.run(run())
    assert view._signals == [signal.SIGWINCH, signal.SIGTERM]


def test_keys_of_a_terminal_wake_the_view_and_its_end_ends_it(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = shown.view
    saved, ends = os.dup(0), os.pipe()
    os.dup2(ends[0], 0)

    async def pressed(count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(view._pressed) < count:
                await view._wakened.wait()
                view._wakened.clear()

    async def run() -> None:
        with view._keys_noted():
            os.write(ends[1], b"n")
            await pressed(1)
            # Nothing follows, so it was a key of its own.
            os.write(ends[1], b"\x1b")
            await pressed(2)
            os.close(ends[1])
            await pressed(3)
        assert not asyncio.get_running_loop().remove_reader(0)

    try:
        asyncio.run(run())
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(ends[0])
    assert view._pressed == ["n", keys.ESCAPE, "q"]


def test_filter_has_a_limit(shown: Shown) -> None:
    assert shown.foot("/", *("x" * 79)).count("x") == 79
    assert shown.foot("y", "z").startswith(f"filter: {'x' * 79}y█")
