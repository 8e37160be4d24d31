"""Bodies larger than any buffer: slow readers, files that change, clients that leave."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.sockets import descriptor_count, reset
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024
SIZE = 100 * MIB
MARKS = {0: b"first", 50 * MIB: b"middle", SIZE - 4: b"last"}


def write_sparse(node: Node, target: str, size: int = SIZE) -> None:
    """Make a sparse file that holds only the marks that fit."""
    with node.write(target, b"").open("r+b") as file:
        for offset, mark in MARKS.items():
            if offset + len(mark) <= size:
                os.pwrite(file.fileno(), mark, offset)
        file.truncate(size)


def assert_sparse(body: bytes) -> None:
    assert len(body) == SIZE
    assert {offset: body[offset : offset + len(mark)] for offset, mark in MARKS.items()} == MARKS
    assert body.count(0) == SIZE - sum(map(len, MARKS.values()))


def test_whole_file_then_end_of_file(node: Node, target: str) -> None:
    write_sparse(node, target)
    with Client(node.http) as client:
        client.send(compose("GET", target, version="1.0"))
        head = client.read_head()
        body = client.read_to_eof()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert_sparse(body)


def test_connection_is_good_for_more_afterwards(node: Node, target: str) -> None:
    write_sparse(node, target)
    with Client(node.http) as client:
        assert_sparse(client.request(compose("GET", target)).body)
        assert client.request(compose("GET", "/")).status == 200


def test_memory_does_not_grow_with_the_file(node: Node, target: str) -> None:
    write_sparse(node, target)
    with Client(node.http) as client:
        assert client.request(compose("GET", "/")).status == 200
        before = psutil.Process(node.pid).memory_info().rss
        client.send(compose("GET", target))
        client.read_head()
        client.read_exactly(SIZE // 2)
        assert psutil.Process(node.pid).memory_info().rss - before < 16 * MIB
        client.read_exactly(SIZE // 2)


def test_offsets_beyond_32_bits(node: Node, target: str) -> None:
    size = 5 * 1024 * MIB
    with node.write(target, b"").open("r+b") as file:
        os.pwrite(file.fileno(), b"0123456789", size - 10)
    assert ask(node.http, compose("HEAD", target)).header("Content-Length") == str(size)
    answer = ask(node.http, compose("GET", target, f"Range: bytes={size - 8}-{size - 3}"))
    assert answer.header("Content-Range") == f"bytes {size - 8}-{size - 3}/{size}"
    assert answer.body == b"234567"
    assert ask(node.http, compose("GET", target, "Range: bytes=-3")).body == b"789"


def test_large_range(node: Node, target: str) -> None:
    write_sparse(node, target)
    first, last = 50 * MIB - 3, SIZE - 3
    with Client(node.http) as client:
        answer = client.request(compose("GET", target, f"Range: bytes={first}-{last}"))
        assert len(answer.body) == last - first + 1
        assert (answer.body[:9], answer.body[-2:]) == (b"\0\0\0middle", b"la")
        assert client.request(compose("GET", "/")).status == 200


def test_file_that_shrinks_while_it_is_sent(node: Node, target: str) -> None:
    """The connection ends: the announced length cannot be sent."""
    write_sparse(node, target)
    with Client(node.http) as client:
        client.send(compose("GET", target))
        assert b"Content-Length: %d\r\n" % SIZE in client.read_head()
        os.truncate(node.path(target), 1000)
        assert 1000 <= len(client.read_to_eof()) < SIZE
    assert target in node.wait_for_log(target)


def test_file_that_is_emptied_does_not_hurt_other_clients(node: Node, target: str) -> None:
    write_sparse(node, target)
    write_sparse(node, f"{target}o")
    with Client(node.http) as loser, Client(node.http) as other:
        for client, name in ((loser, target), (other, f"{target}o")):
            client.send(compose("GET", name, version="1.0"))
            client.read_head()
        os.truncate(node.path(target), 0)
        assert len(loser.read_to_eof()) < SIZE
        assert_sparse(other.read_to_eof())


def test_file_that_grows_while_it_is_sent(node: Node, target: str) -> None:
    write_sparse(node, target)
    with Client(node.http) as client:
        client.send(compose("GET", target))
        client.read_head()
        with node.path(target).open("ab") as file:
            file.write(b"more" * MIB)
        assert_sparse(client.read_exactly(SIZE))
        client.expect_silence(0.05)
        assert client.request(compose("HEAD", target), head=True).status == 200


def test_file_that_is_replaced_while_it_is_sent(node: Node, target: str) -> None:
    write_sparse(node, target)
    with Client(node.http) as client:
        client.send(compose("GET", target))
        client.read_head()
        node.write(f"{target}n", b"new").rename(node.path(target))
        assert_sparse(client.read_exactly(SIZE))
        assert client.request(compose("GET", target)).body == b"new"


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "close"])
def test_client_that_leaves_is_not_logged(leave: Callable[[socket.socket], None]) -> None:
    """No line in the log, no descriptor left."""
    with Node() as node:
        write_sparse(node, "/dev1/large")
        descriptors, logged = descriptor_count(node.pid), node.stderr_lines()
        for _ in range(5):
            with Client(node.http) as client:
                client.send(compose("GET", "/dev1/large"))
                client.read_head()
                client.read_exactly(1000)
                leave(client.sock)
        wait_until(lambda: descriptor_count(node.pid) == descriptors, "all is closed again")
        assert ask(node.http, compose("GET", "/")).status == 200
        assert node.stderr_lines() == logged


def test_slow_readers_delay_no_others(node: Node, target: str) -> None:
    """More readers than threads for a device, all in the middle of a body."""
    write_sparse(node, target)
    node.write(f"{target}s", b"small")
    with ExitStack() as stack:
        slow = [stack.enter_context(Client(node.http)) for _ in range(40)]
        for client in slow:
            client.send(compose("GET", target))
            client.read_head()
        quick = stack.enter_context(Client(node.http))
        for _ in range(20):
            assert quick.request(compose("GET", f"{target}s")).body == b"small"
        for client in slow[::10]:
            assert_sparse(client.read_exactly(SIZE))


def test_two_readers_of_one_file_share_the_node(node: Node, target: str) -> None:
    """A quick reader of a large file does not keep another connection from its small ones."""
    write_sparse(node, target)
    node.write(f"{target}s", b"small")
    with Client(node.http) as greedy, Client(node.http) as modest:
        for _ in range(3):
            greedy.send(compose("GET", target))
            greedy.read_head()
            for _ in range(4):
                greedy.read_exactly(SIZE // 4)
                assert modest.request(compose("GET", f"{target}s")).body == b"small"
