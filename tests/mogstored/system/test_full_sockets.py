"""Answers that a full socket takes in part or not at all are sent later, all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import put
from tests.support.sidechannel import manage
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every second send of a connection finds a socket with no room, or with room for a few bytes.
FULL_SOCKETS = """
import errno, os, socket, threading

plain = socket.socket.send
refused = set()

def send(self, data, *flags):
    key = self.fileno()
    if threading.current_thread() is threading.main_thread() or key in refused:
        refused.discard(key)
        return plain(self, data, *flags)
    refused.add(key)
    if {room} == 0:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return plain(self, data[:{room}], *flags)

socket.socket.send = send
socket.socket.sendmsg = lambda self, parts: send(self, b"".join(parts))
"""


@pytest.fixture(scope="module", params=[0, 1, 30], ids=lambda room: f"room for {room}")
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Node(mgmt=True, injected=FULL_SOCKETS.format(room=request.param)) as node:
        node.write("/dev1/small", b"small")
        node.write("/dev1/middle", b"middle" * 5000)
        last = node.write("/dev1/large", bytes(range(256)) * 4096)
        # A file that changed a moment ago is not kept.
        wait_until(lambda: time.time() - last.stat().st_ctime > 0.15, "the clock has moved on")
        yield node


REQUESTS = {
    "health probe": (compose("GET", "/"), 200, b""),
    "small file": (compose("GET", "/dev1/small"), 200, b"small"),
    "file of middle length": (compose("GET", "/dev1/middle"), 200, b"middle" * 5000),
    "large file": (compose("GET", "/dev1/large"), 200, bytes(range(256)) * 4096),
    "head": (compose("HEAD", "/dev1/small"), 200, b""),
    "range": (compose("GET", "/dev1/small", "Range: bytes=1-2"), 206, b"ma"),
    "no file": (compose("GET", "/dev1/none"), 404, None),
    "usage": (compose("GET", "/dev1/usage"), 200, None),
    "small upload": (put("/dev1/new", b"new"), 201, None),
    "chunked upload": (
        compose("PUT", "/dev1/new", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n",
        201,
        None,
    ),
    "removal": (compose("DELETE", "/dev1/none"), 404, None),
    "request with a body": (compose("GET", "/", "Content-Length: 4") + b"body", 200, b""),
}


@pytest.mark.parametrize("way", REQUESTS)
def test_http(node: Node, way: str) -> None:
    """Repeated, to meet a kept connection and a file that was read lately."""
    request, status, body = REQUESTS[way]
    with Client(node.http) as client:
        for _ in range(7):
            answer = client.request(request, head=way == "head")
            assert answer.status == status
            assert body is None or answer.body == body
        client.send(request * 5 + compose("GET", "/", version="1.0"))
        for _ in range(5):
            assert client.read_response(head=way == "head").status == status
        assert client.read_response().status == 200
        client.read_eof()


@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"nonsense\r\n\r\n", 400), (put("/dev1/../x", b"new"), 403)],
    ids=["malformed", "forbidden"],
)
def test_refusal(node: Node, request_: bytes, status: int) -> None:
    with Client(node.http) as client:
        assert client.request(request_).status == status
        client.read_eof()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"size /dev1/small", b"/dev1/small 5\r\n"),
        (b"MD5 /dev1/small", b"/dev1/small MD5=eb5c1399a871211c7e7ed732d15e3a8b\r\n"),
        (b"MD5 /dev1/small fsck", b"/dev1/small MD5=eb5c1399a871211c7e7ed732d15e3a8b\r\n"),
        (b"MD5 /dev1/none", b"/dev1/none MD5=-1\r\n"),
        (b"nonsense", b"ERROR: unknown command: nonsense\r\n"),
    ],
    ids=str,
)
def test_sidechannel(node: Node, command: bytes, answer: bytes) -> None:
    with manage(node) as client:
        for _ in range(3):
            assert client.ask(command) == answer
        client.send((command + b"\r\n") * 5)
        assert client.read_lines(5) == [answer] * 5


def test_watcher(node: Node) -> None:
    with manage(node) as client:
        client.send(b"watch\n")
        for _ in range(2):
            assert [line.partition(b"\t")[0] for line in client.read_block()] == [b"1", b"2"]
