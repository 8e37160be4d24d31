"""What a connection says of its client: whether it is silent, and whether a request follows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.http import connection
from mogstored.http.dispatch import HTTPSession
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from mogstored.http.connection import HTTPConnection

Ends = tuple["HTTPConnection", "socket.socket"]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A connection that has just been accepted, and its client."""
    with stream_pair() as (ours, theirs):
        service: Any = SimpleNamespace(clients=None, access_log=None, number=0)
        yield HTTPSession(ours, service), theirs


@pytest.mark.parametrize(
    ("silent_ms", "is_silent"), [(30_001, True), (30_000, False), (0, False), (None, False)]
)
def test_time_in_the_backlog_counts(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, silent_ms: int | None, is_silent: bool
) -> None:
    monkeypatch.setattr(connection, "silence_ms", lambda _: silent_ms)
    session, _ = ends
    assert session.has_been_silent(30.0) is is_silent
    session.active_at -= 31.0
    assert session.has_been_silent(30.0)


def test_client_that_waits_or_has_sent_or_gone_is_not_silent(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "silence_ms", lambda _: 60_000)
    session, client = ends
    assert session.has_been_silent(30.0)
    session.work = cast("Any", object())
    assert not session.has_been_silent(30.0)
    session.work = None
    client.send(b"G")
    assert not session.has_been_silent(30.0)
    session.sock.recv(8)
    assert session.has_been_silent(30.0)
    client.close()
    assert not session.has_been_silent(30.0)
    session.sock.close()
    assert not session.has_been_silent(30.0)


def test_answer_is_the_last_unless_a_request_follows(ends: Ends) -> None:
    session, client = ends
    assert session.is_last_answer()
    session.pending = b"G"
    assert not session.is_last_answer()
    session.pending = b""
    client.send(b"G")
    assert not session.is_last_answer()
    session.sock.recv(8)
    client.close()
    assert session.is_last_answer()
    session.sock.close()
    assert session.is_last_answer()
