"""Watchers with a feed that the test publishes: blocks, slow clients, and the stop."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest.mock import MagicMock, Mock

import pytest

from mogstored.utilization import watchers
from mogstored.utilization.watchers import Watchers
from tests.support.clock import stop_clock
from tests.support.sidechannel_rig import Rig
from tests.support.sockets import fill, reset
from tests.support.threads import join
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, devices=3) as rig:
        yield rig


def devids(block: list[bytes]) -> list[int]:
    return [int(line.split(b"\t")[0]) for line in block]


def test_block_has_a_line_for_each_device(rig: Rig) -> None:
    client = rig.watch()
    rig.watchers.publish({})
    assert client.read_exactly(14) == b"1\t-\n2\t-\n3\t-\n.\n"


def test_service_without_devices_sends_the_end_of_the_block_only(tmp_path: Path) -> None:
    with Rig(tmp_path, devices=0) as rig:
        client = rig.watch()
        rig.publish()
        rig.publish()
        assert client.read_exactly(2) == b".\n"


def test_reports_before_a_watcher_came_are_not_for_it(rig: Rig) -> None:
    first = rig.watch()
    rig.publish()
    second = rig.watch()
    second.expect_silence()
    rig.publish()
    assert devids(second.read_block()) == [1, 2, 3]
    assert devids(first.read_block()) == [1, 2, 3]


def test_devices_are_looked_for_before_the_first_block(rig: Rig) -> None:
    rig.watch()
    (rig.path / "dev666").mkdir()
    client = rig.watch()
    rig.publish()
    assert devids(client.read_block()) == [1, 2, 3, 666]


def test_input_of_a_watcher_is_ignored(rig: Rig) -> None:
    client = rig.connect()
    client.send(b"size /dev1/no\r\nwatch\nsize /dev1/no\r\n")
    assert client.read_line() == b"/dev1/no -1\r\n"
    rig.wait_for_watchers(1)
    client.send(b"shutdown\r\nMD5 /dev1/no\r\n" + b"x" * 100_000)
    rig.publish()
    assert devids(client.read_block()) == [1, 2, 3]
    client.expect_silence()
    assert not rig.stop_asked.is_set()


def test_feed_is_wanted_while_a_client_watches(rig: Rig) -> None:
    first, second = rig.watch(), rig.watch()
    first.close()
    rig.wait_for_watchers(1)
    assert rig.feed.wanted == [True]
    second.close()
    wait_until(lambda: rig.feed.wanted == [True, False], "the feed is not wanted any more")
    rig.watch()
    assert rig.feed.wanted == [True, False, True]


@pytest.mark.parametrize("end", ["close", "reset", "half-close"])
def test_watcher_that_has_gone_is_removed(rig: Rig, end: str) -> None:
    client = rig.watch()
    if end == "reset":
        reset(client.sock)
    elif end == "close":
        client.close()
    else:
        client.sock.shutdown(1)
    rig.wait_for_watchers(0)
    wait_until(lambda: rig.service.clients.count() == 0, "the connection is closed")


def test_watcher_that_leaves_before_it_joined_is_removed(rig: Rig) -> None:
    for _ in range(20):
        client = rig.connect()
        client.send(b"watch\n")
        client.close()
    wait_until(lambda: rig.service.clients.count() == 0, "the connections are closed")
    rig.wait_for_watchers(0)


class FullInventory:
    """So many devices that a block of them never fits into a socket."""

    def __init__(self) -> None:
        self._on_disk = list(range(1, 100_000))
        self._found: list[int] = []

    def add(self, devid: int) -> None:
        self._on_disk.append(devid)

    def rescan(self) -> None:
        self._found = list(self._on_disk)

    def devids(self) -> list[int]:
        return self._found

    def disk_names(self, _devid: int) -> tuple[str, ...]:
        return ()


@pytest.fixture
def inventory() -> FullInventory:
    return FullInventory()


@pytest.fixture
def slow(
    tmp_path: Path, inventory: FullInventory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    """A rig whose first watcher has got a part of a block and takes no more."""
    with Rig(tmp_path) as rig:
        monkeypatch.setattr(rig.service, "inventory", inventory)
        rig.watch(buffers=64 * 1024)
        rig.watchers.publish({})
        rig.wait_for_watchers(0)
        yield rig


def test_slow_watcher_delays_no_other(slow: Rig, inventory: FullInventory) -> None:
    quick = slow.watch()
    for _ in range(3):
        slow.watchers.publish({})
        assert devids(quick.read_block()) == inventory.devids()
        # A block of this size makes every watcher slow for a moment.
        slow.wait_for_watchers(1)


def test_slow_watcher_is_kept_one_block_at_most(slow: Rig) -> None:
    quick = slow.watch()
    slow.watchers.publish({})
    block = b"".join(quick.read_block()) + b".\n"
    kept = slow.sessions[0]._unsent
    assert kept
    assert block.endswith(kept)


def test_slow_watcher_sees_the_block_to_its_end_and_then_new_devices(
    slow: Rig, inventory: FullInventory
) -> None:
    client, before = slow.clients[0], inventory.devids()
    inventory.add(999_999)
    assert devids(client.read_block()) == before
    slow.wait_for_watchers(1)
    slow.watchers.publish({})
    assert devids(client.read_block()) == [*before, 999_999]


def test_slow_watcher_is_closed_at_once_when_the_node_stops(slow: Rig) -> None:
    stopping = slow.drain()
    join(stopping)


def test_slow_watcher_that_has_gone_is_removed(slow: Rig) -> None:
    reset(slow.clients[0].sock)
    wait_until(lambda: slow.service.clients.count() == 0, "the connection is closed")


def test_watcher_is_closed_at_once_when_the_node_stops(rig: Rig) -> None:
    client = rig.watch()
    stopping = rig.drain()
    client.read_eof()
    join(stopping)


def test_watcher_with_a_full_socket_is_closed_at_once_when_the_node_stops(rig: Rig) -> None:
    client = rig.watch(buffers=2048)
    fill(rig.sessions[0].sock)
    join(rig.drain())
    client.read_to_eof()


def test_no_watcher_joins_while_the_node_stops(rig: Rig) -> None:
    client = rig.connect()
    client.send(b"wat")
    wait_until(lambda: not rig.sessions[0].is_idle(), "a part of the line is there")
    stopping = rig.drain()
    client.send(b"ch\n")
    client.read_eof()
    join(stopping)


def test_400_watchers_get_the_same_block(rig: Rig) -> None:
    clients = [rig.connect() for _ in range(400)]
    for client in clients:
        client.send(b"watch\n")
    rig.wait_for_watchers(400)
    rig.publish()
    expected = [b"%d\t%b\n" % (devid, _utilization(rig, devid)) for devid in (1, 2, 3)]
    for client in clients:
        assert client.read_block() == expected


def _utilization(rig: Rig, devid: int) -> bytes:
    return b"1.00" if rig.inventory.disk_names(devid) else b"-"


def test_observer_wants_reports_without_a_watcher(rig: Rig) -> None:
    assert rig.watchers.utilization(["sda"]) is None
    rig.watchers.observe()
    wait_until(lambda: rig.feed.wanted == [True], "reports are wanted")
    rig.watchers.publish({"sda": "25.50", "sdb": "-", "sdc": "100.00"})
    assert rig.watchers.utilization(["dm-0", "sda"]) == 0.255
    assert rig.watchers.utilization(["sdb"]) is None
    assert rig.watchers.utilization(["sdc"]) == 1.0
    rig.watchers.publish({"sda": "100.40"})
    assert rig.watchers.utilization(["sda"]) == 1.0
    assert rig.watchers.utilization([]) is None


def test_old_report_says_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, watchers, 1000.0)
    rig.watchers.publish({"sda": "25.50"})
    now[0] = 1005.0
    assert rig.watchers.utilization(["sda"]) == 0.255
    now[0] = 1005.1
    assert rig.watchers.utilization(["sda"]) is None


def test_devices_are_looked_for_ten_times_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, changed = Mock(), MagicMock()
    watching = Watchers(pool, Mock())
    monkeypatch.setattr(watching, "_changed", changed)
    watching._admit(set())
    assert changed.wait_for.call_args.args[1] == 0.1
    # And so often a stop tries to close those that are in a step.
    watching._watched[Mock()] = Mock()
    changed.wait_for.side_effect = lambda *_: watching._watched.clear()
    watching.stop()
    assert changed.wait_for.call_args.args[1] == 0.1
    assert pool.step_now.call_count == 1


def test_thread_ends_with_the_node(rig: Rig) -> None:
    def runs() -> bool:
        return "watchers" in {thread.name for thread in threading.enumerate()}

    assert runs()
    rig.watchers.stop()
    wait_until(lambda: not runs(), "its thread has ended")


def test_stop_returns_at_its_deadline_though_a_watcher_stays(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.watch()
    monkeypatch.setattr(rig.watchers, "_pool", SimpleNamespace(step_now=lambda *_: 0))
    began = time.monotonic()
    rig.watchers.stop(began + 0.15)
    assert time.monotonic() - began >= 0.15
    monkeypatch.undo()
