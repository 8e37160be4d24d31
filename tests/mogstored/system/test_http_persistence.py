"""When the connection is kept: versions, the Connection field, pipelines, unread bodies."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.http import Client, compose
from tests.support.sockets import fill_for_good
from tests.support.threads import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.daemon import Node

KEEPS = [
    ("1.1", []),
    ("1.1", ["Connection: keep-alive"]),
    ("1.1", ["Connection: TE"]),
    ("1.1", ["Connection:"]),
    ("1.1", ["Connection: upgrade", "Upgrade: h2c"]),
    # Only whole tokens count.
    ("1.1", ["Connection: closed"]),
    ("1.1", ["Connection: not-close"]),
    ("1.1", ["X-Connection: close"]),
    ("1.0", ["Connection: keep-alive"]),
    ("1.0", ["Connection: Keep-Alive"]),
    ("1.0", ["Connection: KEEP-ALIVE"]),
    ("1.0", ["Connection:keep-alive"]),
    ("1.0", ["connection: \t keep-alive \t "]),
    # What the tracker sends first on every new connection.
    ("1.0", ["Keep-Alive: 300", "Connection: Keep-Alive, keep-alive"]),
    ("1.0", ["Connection: TE, keep-alive"]),
    ("1.0", ["Connection: keep-alive,TE"]),
    ("1.0", ["Connection: ,, keep-alive ,"]),
    ("1.0", ["Connection: TE", "Connection: keep-alive"]),
]

CLOSES = [
    ("1.1", ["Connection: close"]),
    ("1.1", ["Connection: Close"]),
    ("1.1", ["Connection: CLOSE"]),
    ("1.1", ["Connection: TE, close"]),
    ("1.1", ["Connection: close, TE"]),
    ("1.1", ["Connection: close,TE"]),
    ("1.1", ["Connection: keep-alive, close"]),
    ("1.1", ["Connection: close, keep-alive"]),
    ("1.1", ["Connection: keep-alive", "Connection: close"]),
    ("1.1", ["Connection: close", "Connection: keep-alive"]),
    ("1.0", []),
    ("1.0", ["Connection: close"]),
    ("1.0", ["Connection: close, keep-alive"]),
    ("1.0", ["Connection: TE"]),
    ("1.0", ["Connection: keep-alives"]),
    ("1.0", ["Keep-Alive: 300"]),
]


def _name(case: object) -> str:
    return str(case)


@pytest.mark.parametrize(("version", "fields"), KEEPS, ids=_name)
def test_connection_is_kept(node: Node, version: str, fields: Sequence[str]) -> None:
    with Client(node.http) as client:
        for target in ("/", "/dev1/none", "/"):
            answer = client.request(compose("GET", target, *fields, version=version))
            assert answer.header("Connection") == "keep-alive"


@pytest.mark.parametrize(("version", "fields"), CLOSES, ids=_name)
@pytest.mark.parametrize("target", ["/", "/dev1/none"])
def test_connection_is_closed(
    node: Node, target: str, version: str, fields: Sequence[str]
) -> None:
    with Client(node.http) as client:
        answer = client.request(compose("GET", target, *fields, version=version))
        assert answer.header("Connection") == "close"
        client.read_eof()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "MKCOL", "PUT"])
@pytest.mark.parametrize("wish", ["keep-alive", "close"])
def test_every_method_follows_the_wish(node: Node, target: str, method: str, wish: str) -> None:
    node.write(target, b"something")
    with Client(node.http) as client:
        request = compose(method, target, "Content-Length: 0", f"Connection: {wish}")
        answer = client.request(request, head=method == "HEAD")
        assert answer.header("Connection") == wish
        if wish == "close":
            client.read_eof()
        else:
            assert client.request(compose("GET", "/")).status == 200


def test_each_request_decides_for_itself(node: Node) -> None:
    with Client(node.http) as client:
        keep = ("Connection: keep-alive",)
        assert client.request(compose("GET", "/", *keep, version="1.0")).keeps
        assert client.request(compose("GET", "/", version="1.1")).keeps
        assert client.request(compose("GET", "/", *keep, version="1.0")).keeps
        assert not client.request(compose("GET", "/", version="1.0")).keeps
        client.read_eof()


def test_requests_behind_one_that_closes_are_not_run(node: Node, target: str) -> None:
    path = node.write(target, b"precious")
    with Client(node.http) as client:
        client.send(compose("GET", "/", "Connection: close") + compose("DELETE", target))
        assert client.read_response().status == 200
        client.read_eof()
    assert path.exists()


def test_pipeline_is_answered_in_order(node: Node, target: str) -> None:
    for number in range(50):
        node.write(f"{target}.{number}", str(number).encode())
    requests = b"".join(compose("GET", f"{target}.{number}") for number in range(50))
    with Client(node.http) as client:
        client.send(requests)
        bodies = [client.read_response().body for _ in range(50)]
        client.expect_silence()
    assert bodies == [str(number).encode() for number in range(50)]


def test_pipeline_of_everything(node: Node, target: str) -> None:
    """Later requests see what earlier ones did."""
    node.write(target, b"0123456789")
    with Client(node.http) as client:
        client.send(
            compose("GET", target)
            + compose("HEAD", target)
            + compose("GET", target, "Range: bytes=2-4")
            + compose("GET", target, "Range: bytes=10-")
            + compose("MKCOL", "/dev1/0/", "Content-Length: 0")
            + compose("PUT", f"{target}n", "Content-Length: 3")
            + b"new"
            + compose("GET", f"{target}n")
            + compose("DELETE", target)
            + compose("GET", target)
            + compose("DELETE", target)
            + compose("GET", "/", version="1.0")
        )
        answers = [client.read_response(head=number == 1) for number in range(11)]
        client.read_eof()
    statuses = [answer.status for answer in answers]
    assert statuses == [200, 200, 206, 416, 400, 201, 200, 204, 404, 404, 200]
    assert [answers[number].body for number in (0, 2, 6)] == [b"0123456789", b"234", b"new"]


def test_many_thousand_requests_from_a_client_that_reads_late(node: Node) -> None:
    count = 20_000
    requests = compose("GET", "/") * count + compose("GET", "/", version="1.0")
    with Client(node.http, timeout=40.0) as client:
        sender = threading.Thread(target=client.send, args=(requests,))
        sender.start()
        # Stuck by now, since nothing is read, unless the sockets hold all of it.
        sender.join(0.2)
        for _ in range(count):
            assert client.read_response().keeps
        assert not client.read_response().keeps
        client.read_eof()
        join(sender)


def test_client_that_never_reads_is_not_read_from(node: Node, target: str) -> None:
    """Its socket fills up; the node neither buffers its requests nor the answers to them."""
    node.write(target, b"x" * 4096)
    request = compose("GET", target, "X-Padding: " + "p" * 4000)
    with Client(node.http, timeout=40.0) as client:
        before = psutil.Process(node.pid).memory_info().rss
        sent = fill_for_good(client.sock, request)
        assert psutil.Process(node.pid).memory_info().rss - before < 16 * 1024 * 1024
        client.sock.settimeout(40.0)
        # Once it reads, every request that was sent whole gets its answer.
        sender = threading.Thread(
            target=client.send,
            args=(request[sent % len(request) :] + compose("GET", "/", version="1.0"),),
        )
        sender.start()
        answers = 0
        while client.read_response().keeps:
            answers += 1
        join(sender)
        client.read_eof()
    assert answers == sent // len(request) + 1


SMALL_BODIES = {
    "5 bytes": ("Content-Length: 5", b"hello"),
    "nothing": ("Content-Length: 0", b""),
    "another request": ("Content-Length: 18", b"GET / HTTP/1.0\r\n\r\n"),
    "64 KiB": ("Content-Length: 65536", b"b" * 65536),
    "chunked": ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked and empty": ("Transfer-Encoding: chunked", b"0\r\n\r\n"),
    "chunked with a trailer": ("Transfer-Encoding: chunked", b"1\r\nx\r\n0\r\nA: b\r\n\r\n"),
}


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "MKCOL"])
@pytest.mark.parametrize(("field", "body"), SMALL_BODIES.values(), ids=SMALL_BODIES.keys())
def test_small_unwanted_body_is_skipped(node: Node, method: str, field: str, body: bytes) -> None:
    with Client(node.http) as client:
        client.send(compose(method, "/dev1/none", field) + body + compose("GET", "/"))
        answer = client.read_response(head=method == "HEAD")
        assert (answer.status, answer.keeps) == (400 if method == "MKCOL" else 404, True)
        assert client.read_response().status == 200


def test_answer_does_not_wait_for_an_unwanted_body(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/", "Content-Length: 5")).status == 200
        client.expect_silence(0.05)
        client.send(b"hel")
        client.expect_silence(0.05)
        assert client.request(b"lo" + compose("GET", "/dev1/none")).status == 404


@pytest.mark.parametrize("length", [65537, 10_000_000, 2**63 - 1])
def test_large_unwanted_body_ends_the_connection(node: Node, length: int) -> None:
    with Client(node.http) as client:
        answer = client.request(compose("GET", "/", f"Content-Length: {length}"))
        assert (answer.status, answer.keeps) == (200, False)
        client.read_eof()


def test_malformed_unwanted_body_ends_the_connection(node: Node, target: str) -> None:
    path = node.write(target, b"precious")
    with Client(node.http) as client:
        client.send(compose("GET", "/", "Transfer-Encoding: chunked") + b"zz\r\n")
        client.send(compose("DELETE", target))
        assert client.read_response().status == 200
        # A second answer would be taken for that of the next request.
        client.read_eof()
    assert path.exists()


def test_announced_body_that_never_comes(node: Node) -> None:
    with Client(node.http) as client:
        assert client.request(compose("GET", "/", "Content-Length: 5")).status == 200
        client.sock.shutdown(socket.SHUT_WR)
        client.read_eof()
