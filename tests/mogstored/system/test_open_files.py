"""Files that the node keeps open are never served after they were replaced or removed."""

from __future__ import annotations

import itertools
import os
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest

from mogstored.storage.open_files import KEPT_S
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import put
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As many as share the listeners of a busy site; each has a table of its own.
PROCESSES = 4
CLIENTS = 3 * PROCESSES

SIZES = pytest.mark.parametrize("size", [10, 100_000], ids=["small", "large"])


@pytest.fixture(scope="module")
def nodes() -> Iterator[Node]:
    with Node(extra=["--worker-processes", str(PROCESSES)]) as node:
        yield node


@pytest.fixture
def clients(nodes: Node) -> Iterator[list[Client]]:
    """Connections that are spread over all processes."""
    with ExitStack() as stack:
        connected = []
        for _ in range(CLIENTS):
            client = stack.enter_context(Client(nodes.http))
            # Answered, and so accepted: the next one is another process's turn.
            assert client.request(compose("GET", "/")).status == 200
            connected.append(client)
        yield connected


def get(client: Client, target: str) -> tuple[int, bytes]:
    answer = client.request(compose("GET", target))
    return answer.status, answer.body


def have_it_open(node: Node, clients: list[Client], target: str) -> None:
    """Read the file until several processes keep it, as none does at once."""
    workers = psutil.Process(node.pid).children()

    def is_kept() -> bool:
        for client in clients:
            assert get(client, target)[0] == 200
        path = str(node.path(target))
        return sum(path in [file.path for file in each.open_files()] for each in workers) > 1

    wait_until(is_kept, f"{target} is kept open")


def write_settled(node: Node, target: str, content: bytes) -> Path:
    """Make a file that looks as if it had not changed for a while."""
    path = node.write(target, content)
    wait_until(lambda: time.time() - path.stat().st_ctime > 0.15, "the clock has moved on")
    return path


@SIZES
def test_removed_file(nodes: Node, clients: list[Client], target: str, size: int) -> None:
    nodes.write(target, b"x" * size)
    have_it_open(nodes, clients, target)
    assert clients[0].request(compose("DELETE", target)).status == 204
    assert {get(client, target) for client in clients} == {(404, b"")}


@SIZES
def test_replaced_file(nodes: Node, clients: list[Client], target: str, size: int) -> None:
    nodes.write(target, b"x" * size)
    have_it_open(nodes, clients, target)
    assert clients[0].request(put(target, b"y" * size)).status == 201
    assert {get(client, target) for client in clients} == {(200, b"y" * size)}


@SIZES
def test_file_changed_in_place(nodes: Node, clients: list[Client], target: str, size: int) -> None:
    nodes.write(target, b"x" * size)
    have_it_open(nodes, clients, target)
    part = put(target, b"yz", f"Content-Range: bytes {size - 1}-{size}/*")
    assert clients[0].request(part).status == 201
    assert {get(client, target) for client in clients} == {(200, b"x" * (size - 1) + b"yz")}


@SIZES
def test_file_renamed_over_by_somebody_else(
    nodes: Node, clients: list[Client], target: str, size: int
) -> None:
    nodes.write(target, b"x" * size)
    have_it_open(nodes, clients, target)
    other = nodes.write(f"{target}.other", b"y" * size)
    other.rename(nodes.path(target))
    assert {get(client, target) for client in clients} == {(200, b"y" * size)}


def test_removed_file_that_has_another_name(
    nodes: Node, clients: list[Client], target: str
) -> None:
    """Its link count does not fall to zero, as with the snapshots of some backup tools."""
    os.link(write_settled(nodes, target, b"x"), nodes.path(f"{target}.snapshot"))
    for client in clients + clients:
        assert get(client, target) == (200, b"x")
    assert clients[0].request(compose("DELETE", target)).status == 204
    assert {get(client, target) for client in clients} == {(404, b"")}


def test_file_that_got_another_name_later(nodes: Node, clients: list[Client], target: str) -> None:
    path = nodes.write(target, b"x")
    have_it_open(nodes, clients, target)
    os.link(path, nodes.path(f"{target}.snapshot"))
    assert clients[0].request(compose("DELETE", target)).status == 204
    assert {get(client, target) for client in clients} == {(404, b"")}


TARGETS = [f"/dev1/race/{number}.fid" for number in range(12)]
ROUNDS = 6


class Race:
    """Readers on connections of all processes, each of which knows what it must not see.

    Every content is a number that counts up. A reader notes the last number that a writer
    had been told to be stored before it asks, and must not be given an older one; after a
    DELETE was answered, none.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._published = dict.fromkeys(TARGETS, 0)
        self._ended = threading.Event()
        self._reads = itertools.count()
        self.failures: list[str] = []

    def __enter__(self) -> Race:
        self._threads = [threading.Thread(target=self._read) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def kept_open(self) -> int:
        """Return how many descriptors of the contested files all processes keep now."""
        wanted = {str(self._node.path(target)) for target in TARGETS}
        return sum(
            file.path in wanted
            for worker in psutil.Process(self._node.pid).children()
            for file in worker.open_files()
        )

    def replace(self, writer: Client, target: str, number: int) -> None:
        assert writer.request(put(target, b"%d" % number)).status == 201
        self._published[target] = number

    def remove(self, writer: Client, target: str, number: int) -> None:
        assert writer.request(compose("DELETE", target)).status == 204
        self._published[target] = number

    def _read(self) -> None:
        with Client(self._node.http) as client:
            while not self._ended.is_set():
                for target in TARGETS:
                    least = self._published[target]
                    status, body = get(client, target)
                    if status == 200 and int(body) < least:
                        self.failures.append(f"{target}: {int(body)} after {least}")
                    elif status not in (200, 404):
                        self.failures.append(f"{target}: status {status}")


def test_readers_never_see_an_older_file_than_was_answered(nodes: Node) -> None:
    """DELETE and PUT race GET in four processes, each with the files open that are to go.

    A file is kept open once it has not changed for a moment, so between the rounds the
    writer waits until the processes have the files open again.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(Client(nodes.http)) for _ in range(PROCESSES)]
        turn = itertools.cycle(writers)
        for target in TARGETS:
            assert next(turn).request(put(target, b"0")).status == 201
        race = stack.enter_context(Race(nodes))
        for number in range(1, 2 * ROUNDS, 2):
            wait_until(lambda: race.kept_open() > len(TARGETS), "several processes keep the files")
            for index, target in enumerate(TARGETS):
                if (index + number) % 3:
                    race.replace(next(turn), target, number)
                else:
                    race.remove(next(turn), target, number)
                    race.replace(next(turn), target, number + 1)
    assert race.failures == []


def open_below(node: Node) -> list[str]:
    return [file.path for file in psutil.Process(node.pid).open_files() if ".fid" in file.path]


def test_file_is_closed_when_it_is_removed_and_after_a_while() -> None:
    """Else it would keep its blocks, and its file system could not be unmounted."""
    with Node() as node, Client(node.http) as client:
        first, second = "/dev1/1.fid", "/dev1/2.fid"
        for target in (first, second):
            write_settled(node, target, b"x")
            get(client, target)
        assert sorted(open_below(node)) == [str(node.path(first)), str(node.path(second))]
        client.request(compose("DELETE", first))
        assert open_below(node) == [str(node.path(second))]
        wait_until(lambda: not open_below(node), "all files are closed", 3 * KEPT_S)


def test_no_more_files_are_kept_open_than_a_share_of_the_limit() -> None:
    with Node(nofile=200, maxconns=200) as node, Client(node.http) as client:
        for number in range(100):
            node.write(f"/dev1/{number}.fid", b"x")
        write_settled(node, "/dev1/last", b"")
        for number in range(100):
            assert get(client, f"/dev1/{number}.fid") == (200, b"x")
        assert 1 < len(open_below(node)) <= 20
