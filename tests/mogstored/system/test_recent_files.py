"""Files kept in memory are never served after they were replaced or removed."""

from __future__ import annotations

import errno
import itertools
import mmap
import operator
import os
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from mogstored.files.recent_files import MAX_CONTENT
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.injected import failing_call
from tests.support.puts import put
from tests.support.slow_disk import node_with_slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As many as share the listeners of a busy site; each has a table of its own.
PROCESSES = 4
CLIENTS = 3 * PROCESSES

# More than a tick of the clock behind ctime; a younger file is not kept.
SETTLED_S = 0.15

SIZES = pytest.mark.parametrize("size", [10, MAX_CONTENT, 2 * MAX_CONTENT])


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
            # Answered, so it was accepted: another process takes the next one.
            assert client.request(compose("GET", "/")).status == 200
            connected.append(client)
        yield connected


def get(client: Client, target: str) -> tuple[int, bytes]:
    answer = client.request(compose("GET", target))
    return answer.status, answer.body


def have_it_kept(nodes: Node, clients: list[Client], target: str) -> None:
    """Read the file until each process keeps it, which none does while it is new."""
    wait_until(lambda: is_settled(nodes.path(target)), "the clock has moved on")
    for client in 3 * clients:
        assert get(client, target)[0] == 200


def is_settled(path: Path) -> bool:
    return time.time() - path.stat().st_ctime > SETTLED_S


@SIZES
def test_head_of_a_kept_file_has_no_content(
    nodes: Node, clients: list[Client], target: str, size: int
) -> None:
    nodes.write(target, b"x" * size)
    have_it_kept(nodes, clients, target)
    for client in clients:
        answer = client.request(compose("HEAD", target), head=True)
        assert (answer.status, answer.header("Content-Length")) == (200, str(size))
        # What came beyond the head would be taken for this answer.
        assert get(client, target) == (200, b"x" * size)


@SIZES
def test_removed_file(nodes: Node, clients: list[Client], target: str, size: int) -> None:
    nodes.write(target, b"x" * size)
    have_it_kept(nodes, clients, target)
    assert clients[0].request(compose("DELETE", target)).status == 204
    assert {get(client, target) for client in clients} == {(404, b"")}


@SIZES
def test_replaced_file(nodes: Node, clients: list[Client], target: str, size: int) -> None:
    nodes.write(target, b"x" * size)
    have_it_kept(nodes, clients, target)
    assert clients[0].request(put(target, b"y" * size)).status == 201
    assert {get(client, target) for client in clients} == {(200, b"y" * size)}


@SIZES
def test_file_changed_in_place(nodes: Node, clients: list[Client], target: str, size: int) -> None:
    nodes.write(target, b"x" * size)
    have_it_kept(nodes, clients, target)
    part = put(target, b"yz", f"Content-Range: bytes {size - 1}-{size}/*")
    assert clients[0].request(part).status == 201
    assert {get(client, target) for client in clients} == {(200, b"x" * (size - 1) + b"yz")}


@SIZES
def test_file_renamed_over_by_another_program(
    nodes: Node, clients: list[Client], target: str, size: int
) -> None:
    nodes.write(target, b"x" * size)
    have_it_kept(nodes, clients, target)
    other = nodes.write(f"{target}.other", b"y" * size)
    other.rename(nodes.path(target))
    assert {get(client, target) for client in clients} == {(200, b"y" * size)}


@pytest.mark.parametrize(
    ("call", "size"), [("fstat", 20_000), ("pread", 20_000), ("fstat", 100_000)], ids=str
)
def test_second_read_that_fails_is_made_again_and_leaves_nothing_open(
    tmp_path: Path, call: str, size: int
) -> None:
    flag = tmp_path / "fail"
    injected = failing_call(call, flag)
    with Node(injected=injected) as node, Client(node.http) as client:
        path = node.write("/dev1/file", b"x" * size)
        wait_until(lambda: is_settled(path), "the clock has moved on")
        assert get(client, "/dev1/file") == (200, b"x" * size)
        flag.touch()
        for _ in range(3):
            assert get(client, "/dev1/file") == (200, b"x" * size)
        assert not flag.exists()

        def is_closed() -> bool:
            return str(path) not in [file.path for file in node.process.open_files()]

        wait_until(is_closed, "nothing is left open")


def test_removed_file_that_has_another_name(
    nodes: Node, clients: list[Client], target: str
) -> None:
    """Its link count does not fall to zero, as with the snapshots of some backup tools."""
    os.link(nodes.write(target, b"x"), nodes.path(f"{target}.snapshot"))
    have_it_kept(nodes, clients, target)
    assert clients[0].request(compose("DELETE", target)).status == 204
    assert {get(client, target) for client in clients} == {(404, b"")}


def test_file_that_got_another_name_later(nodes: Node, clients: list[Client], target: str) -> None:
    path = nodes.write(target, b"x")
    have_it_kept(nodes, clients, target)
    os.link(path, nodes.path(f"{target}.snapshot"))
    assert clients[0].request(compose("DELETE", target)).status == 204
    assert {get(client, target) for client in clients} == {(404, b"")}


TARGETS = [f"/dev1/race/{number}.fid" for number in range(12)]
ROUNDS = 6


class Race:
    """Readers on connections of all processes, which check that no content is out of date.

    Every content is a number that counts up. A reader notes the last number that was
    answered with 201 before it asks, and must not be given an older one; after an answered
    DELETE, none.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._published = dict.fromkeys(TARGETS, 0)
        self._ended = threading.Event()
        # By reader: how often it has read all files.
        self._rounds = [0] * CLIENTS
        self.failures: list[str] = []

    def __enter__(self) -> Race:
        self._threads = [threading.Thread(target=self._read, args=(n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_until_kept(self) -> None:
        """Return once every process keeps every file."""
        paths = [self._node.path(target) for target in TARGETS]
        wait_until(lambda: all(map(is_settled, paths)), "the clock has moved on")
        due = [rounds + 3 for rounds in self._rounds]
        wait_until(lambda: all(map(operator.ge, self._rounds, due)), "the files were read")

    def replace(self, writer: Client, target: str, number: int) -> None:
        assert writer.request(put(target, b"%d" % number)).status == 201
        self._published[target] = number

    def remove(self, writer: Client, target: str, number: int) -> None:
        assert writer.request(compose("DELETE", target)).status == 204
        self._published[target] = number

    def _read(self, number: int) -> None:
        with Client(self._node.http) as client:
            while not self._ended.is_set():
                for target in TARGETS:
                    least = self._published[target]
                    status, body = get(client, target)
                    if status == 200 and int(body) < least:
                        self.failures.append(f"{target}: {int(body)} after {least}")
                    elif status not in (200, 404):
                        self.failures.append(f"{target}: status {status}")
                self._rounds[number] += 1


def test_readers_never_see_an_older_file_than_was_answered(nodes: Node) -> None:
    """DELETE and PUT race GET in four processes, each of which keeps the files that are to go.

    A file is kept once it has not changed for a moment, so between the rounds the writer
    waits until the processes have read the files again.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(Client(nodes.http)) for _ in range(PROCESSES)]
        turn = itertools.cycle(writers)
        for target in TARGETS:
            assert next(turn).request(put(target, b"0")).status == 201
        race = stack.enter_context(Race(nodes))
        for number in range(1, 2 * ROUNDS, 2):
            race.wait_until_kept()
            for index, target in enumerate(TARGETS):
                if (index + number) % 3:
                    race.replace(next(turn), target, number)
                else:
                    race.remove(next(turn), target, number)
                    race.replace(next(turn), target, number + 1)
    assert race.failures == []


@SIZES
def test_file_whose_directory_was_renamed(
    nodes: Node, clients: list[Client], target: str, size: int
) -> None:
    inside = f"{target}.d/file"
    nodes.write(inside, b"x" * size)
    have_it_kept(nodes, clients, inside)
    nodes.path(f"{target}.d").rename(nodes.path(f"{target}.e"))
    assert {get(client, inside) for client in clients} == {(404, b"")}


@SIZES
def test_directory_with_a_file_of_the_same_time_in_its_place(
    nodes: Node, clients: list[Client], target: str, size: int
) -> None:
    """The clock behind ctime ticks slowly: two files that are made at once have the same.

    A file whose time was looked at has a finer clock for its next change (Linux 6.13), and
    `open` of the interpreter looks.
    """
    paths = [nodes.path(f"{target}.{name}/file") for name in "de"]
    for path in paths:
        path.parent.mkdir(parents=True)

    def are_alike() -> bool:
        for path in paths:
            path.unlink(missing_ok=True)
        for path, byte in zip(paths, (b"x", b"y"), strict=True):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(fd, byte * size)
            os.close(fd)
        first, second = (path.stat().st_ctime_ns for path in paths)
        return first == second

    wait_until(are_alike, "both have the same time")
    inside = f"{target}.d/file"
    have_it_kept(nodes, clients, inside)
    paths[0].parent.rename(nodes.path(f"{target}.old"))
    paths[1].parent.rename(paths[0].parent)
    assert {get(client, inside) for client in clients} == {(200, b"y" * size)}


@SIZES
def test_file_is_read_again_after_a_while(
    nodes: Node, clients: list[Client], target: str, size: int
) -> None:
    """Bounds the harm where a change leaves the times of a file alone, as over NFS."""
    path = nodes.write(target, b"x" * size)
    have_it_kept(nodes, clients, target)
    with mmap_of(path) as mapped:
        mapped[0] = b"y"[0]
        # The first write to a page sets the time; those that follow may not.
        have_it_kept(nodes, clients, target)
        mapped[0] = b"z"[0]
    wait_until(
        lambda: {get(client, target)[1][:1] for client in clients} == {b"z"}, "it is read again"
    )


@contextmanager
def mmap_of(path: Path) -> Iterator[mmap.mmap]:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        yield mapped


def test_file_that_was_read_is_not_open() -> None:
    """Else its blocks would not be free after its removal, nor could its disk be unmounted."""
    with Node() as node, Client(node.http) as client:
        for size in (10, MAX_CONTENT, 2 * MAX_CONTENT):
            target = f"/dev1/{size}.fid"
            node.write(target, b"x" * size)
            have_it_kept(node, [client], target)
        wait_until(lambda: not node.process.open_files(), "nothing is open")


def test_short_file_is_read_from_the_disk_once(tmp_path: Path) -> None:
    with node_with_slow_disk(tmp_path / "disk") as (node, disk), Client(node.http) as client:
        targets = ["/dev2/short", "/dev2/middle"]
        for target, size in zip(targets, (10, MAX_CONTENT), strict=True):
            node.write(target, b"x" * size)

        def statuses_without_the_disk() -> list[int]:
            for target in targets:
                have_it_kept(node, [client], target)
            disk.fail(errno.EIO, "open")
            found = [get(client, target)[0] for target in [*targets, "/dev2/none"]]
            disk.release()
            return found

        # A busy machine may take longer than files are kept.
        wait_until(lambda: statuses_without_the_disk() == [200, 200, 404], "they are kept")
