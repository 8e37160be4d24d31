"""Clients of an admin listener that are slow, many, or send garbage: each ends in time."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mogstored.admin import process
from mogstored.admin.http import session
from mogstored.admin.http.message import MAX_HEAD
from tests.support.admin_rig import AdminRig, admin_rig
from tests.support.http import Client, compose
from tests.support.snapshots import snapshot
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HEALTH = compose("GET", "/-/healthy")


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[AdminRig]:
    """An admin process with little patience."""
    monkeypatch.setattr(session, "HEAD_S", 0.2)
    monkeypatch.setattr(session, "STALL_S", 0.2)
    monkeypatch.setattr(session, "LINGER_S", 0.2)
    monkeypatch.setattr(process, "MAX_SESSIONS", 8)
    with admin_rig() as found:
        found.serve()
        yield found


def assert_answers(rig: AdminRig) -> None:
    assert rig.get("/-/healthy").status == 200


def test_head_that_stays_half_sent(rig: AdminRig) -> None:
    with Client(rig.addr) as client:
        client.send(HEALTH[:-1])
        assert client.read_response().status == 408
        client.read_eof()


def test_head_that_trickles(rig: AdminRig) -> None:
    """Each byte does not give it more time."""
    with Client(rig.addr) as client:
        client.send(b"GET / HTTP/1.1\r\nA: ")
        wait_until(lambda: not takes(client, b"x"), "the connection is closed")


def takes(client: Client, data: bytes) -> bool:
    try:
        client.send(data)
    except OSError:
        return False
    return True


def test_second_request_that_stays_half_sent(rig: AdminRig) -> None:
    with Client(rig.addr) as client:
        client.send(HEALTH + HEALTH[:-1])
        assert client.read_response().status == 200
        assert client.read_response().status == 408
        client.read_eof()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"x" * 100_000, 400),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 200_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEAD // 4), 431),
        (b"GET /" + b"x" * 100_000, 431),
    ],
)
def test_garbage_and_huge_heads(rig: AdminRig, data: bytes, status: int) -> None:
    with Client(rig.addr) as client:
        client.send(data)
        assert client.read_response().status == status
        client.read_eof()
    assert_answers(rig)


def shrink_buffers(rig: AdminRig) -> None:
    """Let the system take little of an answer before its client reads."""
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def test_answer_that_is_not_read(rig: AdminRig) -> None:
    """Its connection ends, and others are answered meanwhile."""
    rig.serve().counters = snapshot(devices=300)
    shrink_buffers(rig)
    with Client(rig.addr) as reluctant:
        reluctant.send(compose("GET", "/metrics"))
        assert_answers(rig)
        wait_until(lambda: not rig.admin.sessions, "its connection is closed")


def test_answer_that_is_read_slowly_is_whole(rig: AdminRig) -> None:
    rig.serve().counters = snapshot(devices=300)
    shrink_buffers(rig)
    with Client(rig.addr) as client:
        answer = client.request(compose("GET", "/metrics", "Connection: close"))
        assert answer.body.endswith(b'kind="bad_checksum"} 300.0\n')
        client.read_eof()


def test_pipelined_requests_take_turns(rig: AdminRig) -> None:
    with Client(rig.addr) as client:
        client.send(compose("GET", "/nothing") * 200)
        assert_answers(rig)
        assert [client.read_response().status for _ in range(200)] == [404] * 200


def test_connections_for_which_there_is_room_stay(rig: AdminRig) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(Client(rig.addr)) for _ in range(process.MAX_SESSIONS)]
        # The last one first: it was accepted after all others.
        assert [each.request(HEALTH).status for each in reversed(idle)] == [200] * len(idle)


def test_idle_connections_make_room(rig: AdminRig) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(Client(rig.addr)) for _ in range(3 * process.MAX_SESSIONS)]
        assert_answers(rig)
        idle[0].read_eof()
        assert idle[-1].request(HEALTH).status == 200


def test_clients_with_half_a_head_make_others_wait_only_until_they_are_due(rig: AdminRig) -> None:
    with ExitStack() as stack:
        for _ in range(3 * process.MAX_SESSIONS):
            client = stack.enter_context(Client(rig.addr))
            client.send(HEALTH[:-1])
        assert_answers(rig)


def test_clients_that_come_and_go(rig: AdminRig) -> None:
    for _ in range(200):
        socket.create_connection(rig.addr, PATIENCE_S).close()
    assert_answers(rig)


def test_half_close_is_answered(rig: AdminRig) -> None:
    with Client(rig.addr) as client:
        client.send(HEALTH)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_response().status == 200
        client.read_eof()


def test_body_of_a_request_does_not_destroy_the_answer(rig: AdminRig) -> None:
    with Client(rig.addr) as client:
        client.send(compose("POST", "/metrics", "Content-Length: 100000") + b"x" * 100_000)
        assert client.read_response().status == 405
        client.read_eof()
