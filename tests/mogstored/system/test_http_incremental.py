"""Requests that arrive in pieces, however they are cut."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.http import Client, compose

if TYPE_CHECKING:
    from tests.support.daemon import Node

# Long enough for a piece to be read by itself as a rule. Nothing depends on it: when pieces
# arrive together a test is only weaker.
GAP_S = 0.002


def trickle(client: Client, data: bytes, gap_s: float = GAP_S) -> None:
    """Send one byte at a time."""
    for position in range(len(data)):
        client.send(data[position : position + 1])
        time.sleep(gap_s)


@pytest.mark.parametrize(
    ("method", "field", "status"),
    [
        ("GET", "Range: bytes=2-4", 206),
        ("HEAD", "Connection: keep-alive", 200),
        ("MKCOL", "Content-Length: 0", 400),
        ("DELETE", "X-Empty:", 204),
    ],
)
def test_one_byte_at_a_time(node: Node, target: str, method: str, field: str, status: int) -> None:
    node.write(target, b"0123456789")
    with Client(node.http) as client:
        trickle(client, compose(method, target, field, version="1.0"))
        assert client.read_response(head=method == "HEAD").status == status


def test_several_requests_one_byte_at_a_time(node: Node, target: str) -> None:
    node.write(target, b"0123456789")
    requests = compose("GET", target) + compose("GET", "/dev1/none") + compose("GET", target)
    with Client(node.http) as client:
        trickle(client, requests, gap_s=0.001)
        assert [client.read_response().status for _ in range(3)] == [200, 404, 200]


@pytest.mark.parametrize("tail", [b"", compose("GET", "/dev1/none", version="1.0")])
def test_every_split_into_two(node: Node, target: str, tail: bytes) -> None:
    """Also with a second request behind, cut anywhere in either of the two."""
    node.write(target, b"0123456789")
    request = compose("GET", f"http://h{target}", "Range: bytes=2-4") + tail
    with Client(node.http) as shared:
        for position in range(1, len(request)):
            client = Client(node.http) if tail else shared
            client.send(request[:position])
            time.sleep(GAP_S / 2)
            client.send(request[position:])
            answer = client.read_response()
            assert (answer.status, answer.body) == (206, b"234"), request[:position]
            if tail:
                assert client.read_response().status == 404, request[:position]
                client.read_eof()
                client.close()


def test_three_pieces_at_the_end_of_the_head(node: Node) -> None:
    with Client(node.http) as client:
        for piece in (b"GET / HTTP/1.1\r\nA: b\r", b"\n\r", b"\n"):
            client.send(piece)
            time.sleep(GAP_S)
        assert client.read_response().status == 200


def test_garbage_is_refused_although_the_client_stays(node: Node) -> None:
    with Client(node.http) as client:
        client.send(b"HI\n")
        assert client.read_response().status == 400
        client.read_eof()


def test_garbage_one_byte_at_a_time(node: Node) -> None:
    with Client(node.http) as client:
        client.send(b"H")
        # Twice: H may begin a HEAD, so that the refusal shows in between.
        client.expect_silence(0.02)
        client.send(b"I")
        assert client.read_response().status == 400
        client.read_eof()


def test_field_refused_while_it_arrives(node: Node) -> None:
    with Client(node.http) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.expect_silence(0.02)
        client.send(b"Bad Name")
        assert client.read_response().status == 400
        client.read_eof()


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /dev1/a HTTP/1.1\r\nContent-MD5: x\r\n",
        b"GET /dev1/a HTTP/1.1\r\nRange: foo\r\n",
        b"PUT /dev1/a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n",
        b"PUT /dev1/a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        b"PUT /dev1/a HTTP/1.1\r\nContent-Range: x\r\n",
        b"PUT /dev1/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n: x\r\n",
    ],
)
def test_value_refused_when_its_line_ends(node: Node, begin: bytes) -> None:
    with Client(node.http) as client:
        assert client.request(begin).status == 400
        client.read_eof()


def test_client_that_closes_in_the_middle_of_a_head(node: Node) -> None:
    """Nothing is answered, and nothing is wrong with the node."""
    before = node.stderr_lines()
    with Client(node.http) as client:
        client.send(b"GET / HT")
        client.sock.shutdown(1)
        client.read_eof()
    assert node.stderr_lines() == before


def test_client_that_shuts_its_side_after_a_request_is_answered(node: Node, target: str) -> None:
    node.write(target, b"x" * 100_000)
    with Client(node.http) as client:
        client.send(compose("GET", target))
        client.sock.shutdown(1)
        assert len(client.read_response().body) == 100_000
        client.read_eof()


def test_silence_before_the_first_byte(node: Node) -> None:
    with Client(node.http) as client:
        client.expect_silence(0.1)
        assert client.request(compose("GET", "/")).status == 200
