"""Files under a lease of another program, such as a file server, are waited for."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import put
from tests.support.sidechannel import manage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "linux":
    pytest.skip("only Linux has leases", allow_module_level=True)

import fcntl

CONTENT = b"content"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(mgmt=True) as node:
        yield node


@contextmanager
def leased(path: Path) -> Iterator[list[int]]:
    """Hold a write lease, and give it up when the kernel asks; the list has its signals.

    The signal interrupts the wait for the node's answer.
    """
    asked: list[int] = []
    fd = os.open(path, os.O_RDWR)

    def give_up(number: int, _frame: object) -> None:
        asked.append(number)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    before = signal.signal(signal.SIGIO, give_up)
    try:
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            pytest.skip(f"no lease on this file system: {error}")
        yield asked
    finally:
        os.close(fd)
        signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_read_waits_for_the_lease(node: Node, target: str, method: str) -> None:
    with leased(node.write(target, CONTENT)) as asked, Client(node.http) as client:
        answer = client.request(compose(method, target), head=method == "HEAD")
        assert answer.status == 200
        assert answer.header("Content-Length") == str(len(CONTENT))
        assert asked


@pytest.mark.parametrize("reason", [b"", b" fsck"])
def test_digest_waits_for_the_lease(node: Node, target: str, reason: bytes) -> None:
    with leased(node.write(target, CONTENT)) as asked, manage(node) as sidechannel:
        name = target.encode()
        line = sidechannel.ask(b"MD5 " + name + reason)
        assert line == name + b" MD5=9a0364b9e99bb480dd25e1f0284c8555\r\n"
        assert asked


def test_size_needs_no_lease(node: Node, target: str) -> None:
    with leased(node.write(target, CONTENT)), manage(node) as sidechannel:
        name = target.encode()
        assert sidechannel.ask(b"size " + name) == name + b" 7\r\n"


def test_part_is_stored_once_the_lease_is_given_up(node: Node, target: str) -> None:
    path = node.write(target, CONTENT)
    with leased(path) as asked, Client(node.http) as client:
        answer = client.request(put(target, b"X", "Content-Range: bytes 0-0/*"))
        assert answer.status == 201
        assert asked
    assert path.read_bytes() == b"X" + CONTENT[1:]


@pytest.mark.parametrize(("method", "status"), [("PUT", 201), ("DELETE", 204)])
def test_name_of_a_leased_file_changes_at_once(
    node: Node, target: str, method: str, status: int
) -> None:
    """A lease covers the file, not its name."""
    with leased(node.write(target, CONTENT)), Client(node.http) as client:
        request = put(target, b"new") if method == "PUT" else compose("DELETE", target)
        assert client.request(request).status == status


def test_fifo_is_still_refused_at_once(node: Node, target: str) -> None:
    os.mkfifo(node.path(target))
    with Client(node.http) as client:
        assert client.request(compose("GET", target)).status == 403
