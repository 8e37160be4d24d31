"""The connection after a PUT, and uploads sent without waiting for answers."""

from __future__ import annotations

import select
import socket

import pytest

from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import (
    CREATED,
    assert_created,
    masked,
    put,
    put_head,
    short_block,
)
from tests.support.sockets import fill
from tests.support.waiting import PATIENCE_S

# A socket counts as full after this long without room.
_FULL_S = 0.5


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "keep-alive", True),
        ("1.1", "TE, close", False),
        ("1.1", "keep-alive, close", False),
        ("1.0", None, False),
        ("1.0", "close", False),
        ("1.0", "keep-alive", True),
        ("1.0", "Keep-Alive, keep-alive", True),
    ],
)
def test_connection_is_kept_as_negotiated(
    node: Node, target: str, version: str, connection: str | None, keeps: bool
) -> None:
    fields = [] if connection is None else [f"Connection: {connection}"]
    request = put(target, b"content", *fields, version=version)
    with Client(node.http) as client:
        assert_created(client.request(request), keep=keeps)
        if keeps:
            assert_created(client.request(request), keep=True)
        else:
            client.read_eof()
    assert node.path(target).read_bytes() == b"content"


def test_nothing_is_sent_after_the_answer(node: Node, target: str) -> None:
    with Client(node.http) as client:
        assert_created(client.request(put(target, b"content")))
        client.expect_silence()


def test_two_uploads_in_one_write(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put(f"{target}.a", b"first") + put(f"{target}.b", b"second"))
        both = client.read_head() + client.read_head()
        assert masked(both) == short_block(CREATED, keep=True) * 2
        client.expect_silence()
    assert node.path(f"{target}.a").read_bytes() == b"first"
    assert node.path(f"{target}.b").read_bytes() == b"second"


def test_answers_come_in_the_order_of_the_requests(node: Node, target: str) -> None:
    get = f"GET {target} HTTP/1.1\r\n\r\n".encode()
    delete = f"DELETE {target} HTTP/1.1\r\n\r\n".encode()
    with Client(node.http) as client:
        client.send(get + put(target, b"one") + get + put(target, b"two") + get + delete + get)
        answers = [client.read_response() for _ in range(7)]
    assert [answer.status for answer in answers] == [404, 201, 200, 201, 200, 204, 404]
    assert [answer.body for answer in answers] == [b"", b"", b"one", b"", b"two", b"", b""]


def test_upload_answers_reach_a_client_that_shut_down_its_side(node: Node, target: str) -> None:
    with Client(node.http) as client:
        client.send(put(target, b"content"))
        client.sock.shutdown(socket.SHUT_WR)
        assert_created(client.read_response())
        client.read_eof()
    assert node.path(target).read_bytes() == b"content"


@pytest.mark.slow
def test_client_writes_empty_uploads_until_its_socket_is_full(node: Node, target: str) -> None:
    request = put_head(target)
    answer = short_block(CREATED, keep=True)
    with Client(node.http) as client:
        # Limited buffers: some thousand requests fit in, not a hundred thousand.
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        sent = _write_until_full(client.sock, request)
        client.sock.settimeout(PATIENCE_S)
        complete, begun = divmod(sent, len(request))
        _expect_blocks(client, answer, complete)
        client.send(request[begun:])
        _expect_blocks(client, answer, 1)
        client.expect_silence()


def _write_until_full(sock: socket.socket, request: bytes) -> int:
    sent = 0
    burst = request * 100
    while True:
        at = sent % len(request)
        sent += fill(sock, burst[at:] + burst[:at])
        _, writable, _ = select.select([], [sock], [], _FULL_S)
        if not writable:
            return sent


def _expect_blocks(client: Client, block: bytes, count: int) -> None:
    for _ in range(count):
        assert masked(client.read_head()) == block
