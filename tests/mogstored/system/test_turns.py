"""Long work on a device takes turns: requests for the device get in between."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import put, put_head
from tests.support.sidechannel import manage
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDLESS = 2**40
# Enough for the requests of a test on any machine, without filling a disk.
UPLOAD = 2**31
CONTENT = b"content"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A node with as many devices as threads: each has one slot."""
    with Node(mgmt=True, extra=["--aio-threads", "2"]) as node:
        for device in ("dev1", "dev2"):
            os.truncate(node.write(f"/{device}/endless", b""), ENDLESS)
            node.write(f"/{device}/small", CONTENT)
        yield node


@contextmanager
def digesting(node: Node, command: bytes) -> Iterator[None]:
    """Make the node compute endless digests."""
    with manage(node) as one, manage(node) as other:
        one.send(command % b"/dev1/endless")
        other.send(command % b"/dev2/endless")
        yield


@contextmanager
def moving(node: Node, request: bytes, move: Callable[[socket.socket], object]) -> Iterator[None]:
    """Send a request on two connections, and then call `move` on each, again and again."""
    moved = [0, 0]
    socks = [socket.create_connection(node.http) for _ in moved]

    def run(number: int) -> None:
        with suppress(OSError):
            while move(socks[number]):
                moved[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    try:
        for number, sock in enumerate(socks, 1):
            sock.sendall(request.replace(b"/dev1/", b"/dev%d/" % number))
        for thread in threads:
            thread.start()
        wait_until(lambda: all(count > 10 for count in moved), "it is under way")
        yield
    finally:
        for sock in socks:
            sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for sock in socks:
            sock.close()


@contextmanager
def downloading(node: Node) -> Iterator[None]:
    buffer = bytearray(2**20)
    with moving(node, compose("GET", "/dev1/endless"), lambda sock: sock.recv_into(buffer)):
        yield


@contextmanager
def uploading(node: Node, *fields: str) -> Iterator[None]:
    piece, left = bytes(2**20), [UPLOAD]

    def send(sock: socket.socket) -> bool:
        sock.sendall(piece)
        left[0] -= len(piece)
        return left[0] > 0

    head = put_head("/dev1/upload", f"Content-Length: {UPLOAD}", *fields)
    with moving(node, head, send):
        yield


WORKS: dict[str, Callable[[Node], AbstractContextManager[None]]] = {
    "fsck": lambda node: digesting(node, b"MD5 %b fsck\r\n"),
    "digest": lambda node: digesting(node, b"MD5 %b\r\n"),
    "download": downloading,
    "upload": uploading,
    "upload with MD5": lambda node: uploading(node, "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="),
}


@pytest.mark.parametrize("work", WORKS)
def test_requests_get_in_between(node: Node, work: str) -> None:
    with WORKS[work](node), Client(node.http) as client, manage(node) as manager:
        for number in range(3):
            for device in ("dev1", "dev2"):
                new = f"/{device}/new{number}"
                assert client.request(compose("GET", f"/{device}/small")).body == CONTENT
                assert client.request(put(new, CONTENT)).status == 201
                assert client.request(compose("DELETE", new)).status == 204
                path = f"/{device}/small".encode()
                assert manager.ask(b"size %b" % path) == b"%b 7\r\n" % path
