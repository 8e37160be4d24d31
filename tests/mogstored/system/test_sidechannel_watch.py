"""`watch` on a whole node, with an iostat that the test writes."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support import fake_iostat
from tests.support.daemon import Node
from tests.support.disks import disks
from tests.support.sidechannel import Manager, manage

if TYPE_CHECKING:
    from collections.abc import Iterator

UTILIZATION = rb"\d+\.\d\d" if sys.platform == "linux" else rb"\d+(\.\d+)?"


def node_with_iostat(options: str, *, devices: tuple[str, ...] = ("dev1", "dev2")) -> Node:
    """Return a node that is not started yet, whose iostat reports the disks it has."""
    command = fake_iostat.command(*(disks() or ["sda"]), options=options)
    return Node(mgmt=True, devices=devices, env={"MOG_IOSTAT_CMD": command})


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A node whose reports come in odd pieces, twenty a second."""
    with node_with_iostat("--piece 7 --interval 0.05") as node:
        yield node


@pytest.fixture
def watcher(node: Node) -> Iterator[Manager]:
    with manage(node) as watcher:
        watcher.send(b"watch\n")
        yield watcher


def fields(block: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Split the lines of a block, each of which ends in a bare LF."""
    found = []
    for line in block:
        match = re.fullmatch(rb"(\d+)\t(\S{1,7})\n", line)
        assert match, line
        found.append((match[1], match[2]))
    return found


@pytest.mark.parametrize("command", [None, "iostat"])
def test_no_iostat_answers_no_numbers(command: str | None) -> None:
    env = {} if command is None else {"MOG_IOSTAT_CMD": fake_iostat.command(*disks())}
    with Node(mgmt=True, extra=["--no-iostat"], env=env) as node, manage(node) as watcher:
        watcher.send(b"watch\n")
        assert fields(watcher.read_block()) == [(b"1", b"-"), (b"2", b"-")]


def test_all_devices_are_listed_each_time(watcher: Manager) -> None:
    for _ in range(5):
        devids = [devid for devid, _ in fields(watcher.read_block())]
        assert devids == [b"1", b"2"]


def test_utilization_is_the_last_column_of_the_report(watcher: Manager) -> None:
    if not disks():
        pytest.skip("the docroot's disk has no name here")
    seen = []
    for _ in range(5):
        first, second = fields(watcher.read_block())
        assert first[1] == second[1]
        assert re.fullmatch(UTILIZATION, first[1])
        seen.append(first[1])
    assert len(set(seen)) == 5


def test_line_end_may_be_crlf(node: Node) -> None:
    with manage(node) as client:
        client.send(b"watch\r\n")
        assert len(fields(client.read_block())) == 2


def test_whatever_the_client_sends_is_ignored(node: Node, watcher: Manager) -> None:
    watcher.read_block()
    watcher.send(b"size /dev1\r\nshutdown\r\nhello\n" + b"x" * 10_000)
    for _ in range(5):
        assert len(fields(watcher.read_block())) == 2
    assert node.is_running()


def test_commands_before_watch_are_answered(node: Node) -> None:
    with manage(node) as client:
        client.send(b"size /dev1/no\r\nwatch\r\n")
        assert client.read_line() == b"/dev1/no -1\r\n"
        assert len(fields(client.read_block())) == 2


def test_client_that_hangs_up_is_let_go(node: Node) -> None:
    with manage(node) as client:
        client.send(b"watch\n")
        client.read_block()
        client.sock.shutdown(socket.SHUT_WR)
        client.read_to_eof()


def test_new_device_is_listed_by_the_first_block() -> None:
    with node_with_iostat("--interval 0.05") as node:
        with manage(node) as client:
            client.send(b"watch\n")
            assert len(client.read_block()) == 2
        (node.docroot / "dev666").mkdir()
        with manage(node) as client:
            client.send(b"watch\n")
            assert fields(client.read_block())[2][0] == b"666"
            utilization = fields(client.read_block())[2][1]
            assert re.fullmatch(UTILIZATION, utilization) or not disks()
        assert (node.docroot / "dev666" / "usage").is_file()


def test_watchers_stay_when_iostat_ends_and_is_started_again() -> None:
    with node_with_iostat("--interval 0.01 --reports 3") as node, manage(node) as client:
        client.send(b"watch\n")
        for _ in range(20):
            assert len(fields(client.read_block())) == 2


def test_node_without_a_feed_command_reports_by_itself() -> None:
    with Node(mgmt=True) as node, manage(node) as client:
        client.send(b"watch\n")
        assert [devid for devid, _ in fields(client.read_block())] == [b"1", b"2"]


def test_node_without_devices_sends_the_end_of_a_block_only() -> None:
    with node_with_iostat("--interval 0.05", devices=()) as node, manage(node) as client:
        client.send(b"watch\n")
        assert client.read_exactly(6) == b".\n" * 3


@pytest.mark.slow
def test_400_watchers_come_and_go_beside_another() -> None:
    with node_with_iostat("--flood") as node, ExitStack() as stack:
        steady = stack.enter_context(manage(node))
        steady.send(b"watch\n")
        steady.read_block()
        crowd = [stack.enter_context(manage(node)) for _ in range(400)]
        for client in crowd:
            client.send(b"watch\n")
        for client in crowd:
            client.read_lines(100)
            client.close()
        assert all(len(fields(steady.read_block())) == 2 for _ in range(1000))
        with manage(node) as client:
            assert client.ask(b"size /dev1/no") == b"/dev1/no -1\r\n"
