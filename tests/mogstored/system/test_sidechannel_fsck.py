"""Many trackers checking one disk: all are answered, and none blocks the queue."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.sidechannel import Manager, manage
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        yield node


@pytest.fixture
def crowd(node: Node) -> Iterator[list[Manager]]:
    with ExitStack() as stack:
        yield [stack.enter_context(manage(node, timeout=170.0 * PATIENCE)) for _ in range(6)]


@pytest.mark.parametrize(
    "size", [24 * MIB + 1, pytest.param(100 * MIB, marks=pytest.mark.slow)], ids=["24M", "100M"]
)
def test_six_clients_check_one_file_three_times_each(
    node: Node, crowd: list[Manager], size: int
) -> None:
    os.truncate(node.write("/dev1/large", b"beginning"), size)
    with node.path("/dev1/large").open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest().encode()
    for client in crowd:
        client.send(b"MD5 /dev1/large fsck\r\n" * 3)
    for client in crowd:
        assert client.read_lines(3) == [b"/dev1/large MD5=%b\r\n" % digest] * 3


def test_waiting_client_that_disconnects_does_not_block_the_line(
    node: Node, crowd: list[Manager]
) -> None:
    os.truncate(node.write("/dev1/large", b"beginning"), 100 * MIB)
    node.write("/dev2/f", b"content")
    expected = b"/dev2/f MD5=%b\r\n" % hashlib.md5(b"content").hexdigest().encode()
    for client in crowd:
        client.send(b"MD5 /dev1/large fsck\r\n" * 3)
    for client in crowd:
        client.close()
    with manage(node) as client:
        assert client.ask(b"MD5 /dev2/f fsck") == expected


def test_others_are_served_while_a_disk_is_checked(node: Node, crowd: list[Manager]) -> None:
    os.truncate(node.write("/dev1/endless", b""), 2**40)
    node.write("/dev1/f", b"content")
    expected = b"/dev1/f MD5=%b\r\n" % hashlib.md5(b"content").hexdigest().encode()
    for client in crowd:
        client.send(b"MD5 /dev1/endless fsck\r\n")
    with manage(node) as client:
        assert client.ask(b"size /dev1/endless") == b"/dev1/endless %d\r\n" % 2**40
        assert client.ask(b"MD5 /dev1/f") == expected
