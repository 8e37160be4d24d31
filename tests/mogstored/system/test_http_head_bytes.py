"""Response heads byte for byte: order and spelling of every field are fixed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import END_OF_HEAD, Client, compose

if TYPE_CHECKING:
    from collections.abc import Iterator

# Requests of a client that reads once, into a small buffer.
ONE_READ = 600

DATE = re.compile(
    rb"(?<=\r\nDate: )(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} "
    rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    rb"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT(?=\r\n)"
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(httpget=True) as node:
        os.utime(node.write("/dev1/file", b"0123456789"), (0, 784111777))
        node.write("/dev1/dir/inside", b"")
        yield node


@pytest.fixture(params=["keep-alive", "close"])
def wish(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def short(status: str, connection: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\n"
        f"Status: {status}\r\n"
        "Date: {D}\r\n"
        "Content-Length: 0\r\n"
        "Content-Type: text/plain\r\n"
        f"Connection: {connection}\r\n"
        "\r\n"
    ).encode()


def whole(connection: str) -> bytes:
    return (
        "HTTP/1.1 200 OK\r\n"
        "Status: 200 OK\r\n"
        "Date: {D}\r\n"
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Length: 10\r\n"
        "Content-Type: application/octet-stream\r\n"
        "Accept-Ranges: bytes\r\n"
        f"Connection: {connection}\r\n"
        "\r\n"
    ).encode()


def part(connection: str) -> bytes:
    return (
        "HTTP/1.1 206 Partial Content\r\n"
        "Status: 206 Partial Content\r\n"
        "Date: {D}\r\n"
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Length: 3\r\n"
        "Content-Type: application/octet-stream\r\n"
        "Content-Range: bytes 2-4/10\r\n"
        f"Connection: {connection}\r\n"
        "\r\n"
    ).encode()


def nothing(connection: str) -> bytes:
    return (
        "HTTP/1.1 416 Requested Range Not Satisfiable\r\n"
        "Status: 416 Requested Range Not Satisfiable\r\n"
        "Date: {D}\r\n"
        "Content-Length: 0\r\n"
        "Content-Type: text/plain\r\n"
        "Content-Range: bytes */10\r\n"
        f"Connection: {connection}\r\n"
        "\r\n"
    ).encode()


def head_in_one_read(addr: tuple[str, int] | None, request: bytes) -> bytes:
    """Return the head that a single read gives, the date replaced by its mark."""
    assert addr is not None
    with Client(addr) as client:
        client.send(request)
        data = client.recv_once(ONE_READ)
    assert END_OF_HEAD in data, f"the head was split: {data!r}"
    head = data[: data.index(END_OF_HEAD) + len(END_OF_HEAD)]
    marked, dates = DATE.subn(b"{D}", head)
    assert dates == 1, head
    return marked


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_200(node: Node, method: str, version: str, wish: str) -> None:
    request = compose(method, "/dev1/file", f"Connection: {wish}", version=version)
    assert head_in_one_read(node.http, request) == whole(wish)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_206(node: Node, method: str, wish: str) -> None:
    request = compose(method, "/dev1/file", "Range: bytes=2-4", f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == part(wish)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_416(node: Node, method: str, wish: str) -> None:
    request = compose(method, "/dev1/file", "Range: bytes=10-", f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == nothing(wish)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_404(node: Node, method: str, wish: str) -> None:
    request = compose(method, "/dev1/none", f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == short("404 Not Found", wish)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_403(node: Node, method: str, wish: str) -> None:
    request = compose(method, "/dev1/dir", f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == short("403 Forbidden", wish)


def test_201(node: Node, wish: str) -> None:
    request = compose("PUT", "/dev1/new", "Content-Length: 0", f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == short("201 Created", wish)


def test_204(node: Node, target: str, wish: str) -> None:
    node.write(target, b"to go")
    request = compose("DELETE", target, f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == short("204 No Content", wish)


def test_400_of_a_good_request(node: Node, wish: str) -> None:
    request = compose("MKCOL", "/dev1/0/", "Content-Length: 0", f"Connection: {wish}")
    assert head_in_one_read(node.http, request) == short("400 Bad Request", wish)


def test_400_of_garbage_closes(node: Node) -> None:
    request = compose("GET", "/_", "Connection: keep-alive")
    assert head_in_one_read(node.http, request) == short("400 Bad Request", "close")


@pytest.mark.parametrize("method", ["DELETE", "MKCOL"])
def test_405(node: Node, method: str, wish: str) -> None:
    request = compose(method, "/dev1/file", f"Connection: {wish}")
    assert head_in_one_read(node.httpget, request) == short("405 Method Not Allowed", wish)


def test_405_of_put_closes(node: Node) -> None:
    request = compose("PUT", "/dev1/new", "Content-Length: 0", "Connection: keep-alive")
    assert head_in_one_read(node.httpget, request) == short("405 Method Not Allowed", "close")


def test_500(node: Node) -> None:
    """The body arrives, then it turns out that a directory has the name."""
    request = compose("PUT", "/dev1/dir", "Content-Length: 0", "Connection: keep-alive")
    assert head_in_one_read(node.http, request) == short("500 Internal Server Error", "close")


def test_507(node: Node) -> None:
    request = compose("PUT", "/dev1/new", f"Content-Length: {2**63}", "Connection: keep-alive")
    assert head_in_one_read(node.http, request) == short("507 Insufficient Storage", "close")


def test_small_body_follows_its_head_at_once(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/file"))
        assert client.read_response().body == b"0123456789"
        client.expect_silence()
