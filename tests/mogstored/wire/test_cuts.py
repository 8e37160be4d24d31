"""One meaning per request, however it arrives: whole, again, byte by byte, in a pipeline.

The answers are compared byte for byte, except for the date, and so are the files afterwards.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import socket
import time
from base64 import b64encode
from hashlib import md5
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.daemon import Address

    Send = Callable[[Client, bytes], None]

CONTENT = b"0123456789" * 10
LONG = bytes(range(256)) * 1024
MODIFIED_S = 1_700_000_000
# Most bytes are then read alone. Nothing depends on it: with fewer reads the test is weaker.
GAP_S = 0.0002

PROBE = compose("GET", "/", version="1.0")
BEFORE = compose("GET", "/")

# A PUT, DELETE or MKCOL has a path of its own each time, of the same length.
NEW = "/dev1/new/NNNN"
OLD = "/dev1/old/NNNN"

_MD5 = b64encode(md5(CONTENT).digest()).decode()
_CHUNKS = b"a\r\n0123456789\r\n5;x=y\r\nabcde\r\n0\r\n"


def put(*fields: str, to: str = NEW, body: bytes = CONTENT, version: str = "1.1") -> bytes:
    length = f"Content-Length: {len(body)}"
    return compose("PUT", to, length, *fields, version=version) + body


def chunked(*fields: str, body: bytes = _CHUNKS + b"\r\n") -> bytes:
    return compose("PUT", NEW, "Transfer-Encoding: chunked", *fields) + body


REQUESTS = {
    "get": compose("GET", "/dev1/file", "Host: h"),
    "get-old": compose("GET", "/dev1/file", version="1.0"),
    "get-old-kept": compose("GET", "/dev1/file", "Connection: keep-alive", version="1.0"),
    "get-close": compose("GET", "/dev1/file", "Connection: close"),
    "get-by-address": compose("GET", "http://h//dev1/file"),
    "get-empty": compose("GET", "/dev1/empty"),
    "get-long": compose("GET", "/dev1/long"),
    "get-missing": compose("GET", "/dev1/none"),
    "get-missing-old": compose("GET", "/dev1/none", version="1.0"),
    "get-directory": compose("GET", "/dev1"),
    "get-climbing": compose("GET", "/dev1/../dev1/file"),
    "get-root": compose("GET", "/"),
    "get-usage": compose("GET", "/dev1/usage"),
    "get-unknown-device": compose("GET", "/dev77/file"),
    "get-range": compose("GET", "/dev1/file", "Range: bytes=2-5"),
    "get-suffix": compose("GET", "/dev1/file", "Range: bytes=-3"),
    "get-long-suffix": compose("GET", "/dev1/file", "Range: bytes=-1000"),
    "get-unsatisfiable": compose("GET", "/dev1/file", "Range: bytes=100-"),
    "get-several-ranges": compose("GET", "/dev1/file", "Range: bytes=0-1,3-4"),
    "get-malformed-range": compose("GET", "/dev1/file", "Range: bytes=x"),
    "get-with-body": compose("GET", "/dev1/file", "Content-Length: 5") + b"hello",
    "get-with-chunks": compose("GET", "/dev1/file", "Transfer-Encoding: chunked")
    + _CHUNKS
    + b"\r\n",
    "get-folded": compose("GET", "/dev1/file", "X: a", " b"),
    "get-long-head": compose("GET", "/dev1/file", "X: " + "x" * 1000),
    "empty-line-before": b"\r\n" + compose("GET", "/dev1/file"),
    "head": compose("HEAD", "/dev1/file"),
    "head-long": compose("HEAD", "/dev1/long"),
    "head-missing": compose("HEAD", "/dev1/none"),
    "head-range": compose("HEAD", "/dev1/file", "Range: bytes=2-5"),
    "head-usage": compose("HEAD", "/dev1/usage", version="1.0"),
    "put": put(),
    "put-close": put("Connection: close"),
    "put-old": put(version="1.0"),
    "put-old-kept": put("Connection: keep-alive", version="1.0"),
    "put-empty": put(body=b""),
    "put-without-length": compose("PUT", NEW),
    "put-long": put(body=LONG[: 64 * 1024]),
    "put-over": put(to=OLD, body=b"new"),
    "put-new-directory": put(to="/dev1/dir/NNNN/a/b"),
    "put-unknown-device": put(to="/dev78/NNNN"),
    "put-through-a-file": put(to="/dev1/file/NNNN"),
    "put-onto-a-directory": put(to="/dev1/full"),
    "put-beside-devices": put(to="/NNNN"),
    "put-climbing": put(to="/dev1/../NNNN"),
    "put-directory-name": put(to="/dev1/NNNN/"),
    "put-md5": put(f"Content-MD5: {_MD5}"),
    "put-wrong-md5": put(f"Content-MD5: {_MD5}", body=b"something else"),
    "put-malformed-md5": put("Content-MD5: x"),
    "put-range": put("Content-Range: bytes 10-109/*", to=OLD),
    "put-range-misfit": put("Content-Range: bytes 10-20/*", to=OLD),
    "put-chunked": chunked(),
    "put-chunked-trailer": chunked("Trailer: Content-MD5", body=_CHUNKS + b"\r\n"),
    "put-chunked-malformed": chunked(body=b"xyz\r\n"),
    "put-two-lengths": compose("PUT", NEW, "Content-Length: 1", "Content-Length: 2") + b"ab",
    "put-length-beyond": compose("PUT", NEW, "Content-Length: 18446744073709551615"),
    "delete": compose("DELETE", OLD),
    "delete-missing": compose("DELETE", NEW),
    "delete-directory": compose("DELETE", "/dev1/full"),
    "delete-device": compose("DELETE", "/dev1"),
    "delete-climbing": compose("DELETE", "/dev1/../x"),
    "delete-close": compose("DELETE", OLD, "Connection: close"),
    "mkcol": compose("MKCOL", NEW),
    "mkcol-old": compose("MKCOL", NEW, version="1.0"),
    "unknown-method": compose("POST", "/dev1/file"),
    "unknown-version": compose("GET", "/dev1/file", version="1.2"),
    "malformed-path": compose("GET", "/dev1/a_b"),
    "malformed-field": compose("GET", "/dev1/file", "no colon"),
}

_DATE = re.compile(rb"\r\nDate: [^\r]+ GMT\r\n")


class Seen(NamedTuple):
    """The effects of one request, on the connection and on the disk."""

    answer: bytes
    file: bytes | None
    mode: int


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(httpget=True, mgmt=True) as node:
        (node.path("/dev1") / "full" / "x").mkdir(parents=True)
        for target, content in (("file", CONTENT), ("empty", b""), ("long", LONG)):
            file = node.write(f"/dev1/{target}", content)
            os.utime(file, (MODIFIED_S, MODIFIED_S))
        yield node


_numbers = itertools.count()


def fresh(node: Node, request: bytes) -> tuple[bytes, Path]:
    """Return the request with a path of its own, and that path; an old file is there."""
    name = f"{next(_numbers):04}"
    target = request.split()[1].decode().replace("NNNN", name).removeprefix("http://h")
    if OLD.encode() in request:
        node.write(target, CONTENT[:20])
    return request.replace(b"NNNN", name.encode()), node.path(target)


def look(received: bytes, path: Path) -> Seen:
    """Mask the date, and the figures of a usage record."""
    masked = _DATE.sub(b"\r\nDate: -\r\n", received)
    if path.name == "usage":
        masked = re.sub(rb"[0-9]+", b"N", masked)
        return Seen(masked, None, 0)
    mode = path.stat().st_mode if path.exists() else 0
    return Seen(masked, path.read_bytes() if path.is_file() else None, mode)


def send_by_bytes(client: Client, request: bytes) -> None:
    """Send byte by byte, or a long body in larger pieces; stop after a last answer."""
    step = max(1, len(request) // 200)
    for at in range(0, len(request), step):
        if select.select([client.sock], [], [], 0)[0]:
            seen = client.sock.recv(65536, socket.MSG_PEEK)
            if not seen or b"Connection: close" in seen:
                return
        client.send(request[at : at + step])
        time.sleep(GAP_S)


def alone(node: Node, addr: Address, request: bytes, send: Send = Client.send) -> Seen:
    """Send one request, then, if the connection is kept, a probe; return all that came."""
    request, path = fresh(node, request)
    with Client(addr) as client:
        send(client, request)
        answer = client.read_response(head=request.startswith(b"HEAD"))
        if answer.keeps:
            client.send(PROBE)
        return look(answer.raw_head + answer.body + client.read_to_eof(), path)


def pipelined(node: Node, addr: Address, request: bytes) -> Seen:
    """Send the request between two others, all at once; return what came behind the first."""
    request, path = fresh(node, request)
    with Client(addr) as client:
        assert client.request(BEFORE + request + PROBE).status == 200
        return look(client.read_to_eof(), path)


@pytest.mark.parametrize("kind", ["http", "httpget"])
@pytest.mark.parametrize("name", REQUESTS)
def test_answer_does_not_depend_on_the_cut(node: Node, kind: str, name: str) -> None:
    (addr,) = node.addresses(kind)
    request = REQUESTS[name]
    whole = alone(node, addr, request)
    assert whole.answer.startswith(b"HTTP/")
    # The second and third time the node knows the request, and has read the file lately.
    for _ in range(2):
        assert alone(node, addr, request) == whole
    assert pipelined(node, addr, request) == whole
    if (name, kind) == ("put-range-misfit", "httpget"):
        # 405 for the whole, 400 as soon as the head is known to be malformed.
        return
    assert alone(node, addr, request, send_by_bytes) == whole
