"""An answer, and what comes after it: a request, a body without a use, a lingering close."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.http.connection import Discard, Linger
from mogstored.http.dispatch import HTTPSession
from mogstored.http.message.request import Fields
from mogstored.observability.counters import Counters
from tests.support.sockets import fill, stream_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

Ends = tuple[HTTPSession, socket.socket]

# Of bodies without a use, and of what a client may still send after its last answer.
LIMIT = 64 * 1024


@pytest.fixture
def ends() -> Iterator[Ends]:
    with stream_pair() as (ours, theirs):
        service: Any = SimpleNamespace(
            clients=Mock(), access_log=None, number=0, lingering=Mock(), counters=Counters()
        )
        session = HTTPSession(ours, service)
        session.counters = Buffers().counters
        yield session, theirs


@pytest.mark.parametrize(
    ("keep_alive", "pending", "want"),
    [
        (True, b"", Next.READ),
        (True, b"GET ", Next.AGAIN),
        (False, b"", Next.CLOSE),
        # It reads on for a while.
        (False, b"GET ", Next.READ),
    ],
)
def test_whole_answer_is_counted_and_ends_the_work(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, keep_alive: bool, pending: bytes, want: Next
) -> None:
    noted: list[tuple[int, int]] = []
    monkeypatch.setattr(HTTPSession, "note_answered", lambda _, *sent: noted.append(sent))
    session, client = ends
    session.work, session.pending = Mock(), pending
    assert session.answer(200, b"HEAD", keep_alive, b"12345") is want
    assert client.recv(100) == b"HEAD12345"
    assert (session.counters.sent, noted) == (9, [(200, 5)])
    lingers = want is Next.READ and not keep_alive
    assert type(session.work) is (Linger if lingers else type(None))


def test_flushed_answer_is_counted(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[int, int]] = []
    monkeypatch.setattr(HTTPSession, "note_answered", lambda _, *sent: noted.append(sent))
    session, client = ends
    before, buffers = session.counters, Buffers()
    size = 5 * 1024 * 1024
    want = session.answer(200, b"HEAD", keep_alive=True, content=bytes(size))
    received = 0
    while want is Next.WRITE:
        received += len(client.recv(2**20))
        want = session.step(buffers)
    while received < size + 4:
        received += len(client.recv(2**20))
    assert before.sent + buffers.counters.sent == size + 4
    assert noted == [(200, size)]


def test_answer_to_a_client_that_takes_nothing_is_flushed_whole(ends: Ends) -> None:
    session, client = ends
    filled = fill(session.sock)
    assert session.answer(200, b"HEAD", True, b"12345") is Next.WRITE
    received = b""
    while len(received) < filled + 9:
        received += client.recv(2**20)
        if session.work is not None:
            session.step(Buffers())
    assert received[filled:] == b"HEAD12345"


@pytest.mark.parametrize(("sent", "hangs_up"), [(24, True), (25, False)])
def test_client_that_takes_a_part_of_a_100_is_not_waited_for(
    ends: Ends, sent: int, hangs_up: bool
) -> None:
    session, _ = ends
    shut: list[int] = []
    session.sock = SimpleNamespace(send=lambda _: sent, shutdown=shut.append)  # type: ignore[assignment]
    session.work = Mock(takes_interim=True)
    session.send_ahead()
    assert bool(shut) is hangs_up


def test_chunked_body_without_a_use_is_dropped_up_to_a_limit(ends: Ends) -> None:
    session, client = ends
    buffers = Buffers()
    session.work = Discard(Fields(keep_alive=True, chunked=True))
    begin = b"ffffff\r\n"
    client.sendall(begin + bytes(LIMIT - len(begin)))
    assert session.step(buffers) is Next.READ
    client.sendall(b"x")
    assert session.step(buffers) is Next.CLOSE


def test_client_that_writes_on_after_its_last_answer_is_cut_off_in_the_end(ends: Ends) -> None:
    session, client = ends
    buffers = Buffers()
    session.pending = b"GET"
    assert session.refuse(400) is Next.READ
    assert session.pending == b""
    client.sendall(bytes(LIMIT - len(b"GET")))
    assert session.step(buffers) is Next.READ
    client.sendall(b"x")
    assert session.step(buffers) is Next.CLOSE
    assert buffers.counters.received == LIMIT - len(b"GET") + 1
