"""What is counted of a request when it is over, and what the access log gets of it."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored.connections.buffers import Buffers
from mogstored.http import counting
from mogstored.http.dispatch import HTTPSession
from mogstored.http.message.request import Fields, Request
from mogstored.observability.histogram import HTTP_BOUNDS_S
from tests.support.clock import stop_clock
from tests.support.sockets import tcp_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"PUT /dev1/a HTTP/1.1\r\n\r\n"
ADDRESS = "127.0.0.1"


class Rig:
    """A session with a request that began at 100.0 s, and the lines of the access log."""

    def __init__(self, sock: Any) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.log = SimpleNamespace(append=self.lines.append)
        self.service: Any = SimpleNamespace(
            clients=Mock(),
            access_log=self.log,
            number=0,
            counters=Mock(),
            devices=SimpleNamespace(of=lambda _path: SimpleNamespace(label="dev1")),
        )
        self.session = self.connect(sock)

    def connect(self, sock: Any) -> HTTPSession:
        session = HTTPSession(sock, self.service)
        session.counters = Buffers().counters
        session.request = Request(b"PUT", b"dev1/a", Fields(keep_alive=True))
        session.head, session.began_at = HEAD, 100.0
        return session


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return stop_clock(monkeypatch, counting, 100.0)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with tcp_pair() as (ours, _):
        yield Rig(ours)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (HTTP_BOUNDS_S[0] * 2, 1), (HTTP_BOUNDS_S[-1] * 2, len(HTTP_BOUNDS_S))],
)
def test_request_that_is_answered(rig: Rig, now: list[float], seconds: float, bucket: int) -> None:
    session = rig.session
    session.note_begun(500, 10)
    session.errno, session.body_received, session.waited_s = errno.EIO, 3, 0.5
    now[0] += seconds
    taken = now[0] - 100.0
    session.note_answered(500, 7)
    cell = session.counters.cells[b"PUT"][500]
    assert [index for index, count in enumerate(cell[:-1]) if count] == [bucket]
    assert (cell[bucket], cell[-1]) == (1, taken)
    line = (now[0], ADDRESS, HEAD, 500, 7, 3, taken, "dev1", 0.5, "EIO")
    assert (rig.lines, session.active_at) == ([line], now[0])
    # Nothing of it is left for the next one, and it is not counted again.
    session.note_answered(200, 1)
    session.close()
    assert not rig.service.counters.note_lost_request.called
    assert len(rig.lines) == 1
    assert (session.request, session.head, session.waited_s) == (None, b"", 0.0)
    assert (session.decided, session.errno, session.body_received) == (0, 0, 0)


def test_error_without_a_name_is_logged_by_its_number(rig: Rig, now: list[float]) -> None:
    rig.session.errno = 9999
    rig.session.note_answered(500, 0)
    # Most requests meet no error.
    rig.session.request = Request(b"GET", b"dev1/a", Fields(keep_alive=True))
    rig.session.note_answered(200, 0)
    assert [line[-1] for line in rig.lines] == ["9999", ""]


def test_request_that_is_kept_has_its_head_and_its_device(rig: Rig, now: list[float]) -> None:
    device: Any = SimpleNamespace(label="dev2")
    request = Request(b"GET", b"dev2/a", Fields(keep_alive=True), b"KEPT", device)
    rig.session.request = request
    rig.session.note_answered(200, 0)
    assert (rig.lines[0][2], rig.lines[0][7]) == (b"KEPT", "dev2")


@pytest.mark.parametrize(
    ("begun", "sent", "status", "body_sent"),
    [(False, 0, 499, 0), (True, 4, 206, 0), (True, 10, 206, 0), (True, 15, 206, 5)],
)
def test_request_whose_connection_is_closed(
    rig: Rig, now: list[float], begun: bool, sent: int, status: int, body_sent: int
) -> None:
    session = rig.session
    if begun:
        # Each answer begins anew.
        for _ in range(2):
            session.note_begun(206, 10)
            session.note_sent(sent)
        assert session.counters.sent == 2 * sent
    now[0] += 3.0
    sock = session.sock
    session.close()
    rig.service.counters.note_lost_request.assert_called_once_with(b"PUT", status, 3.0)
    assert rig.lines == [(103.0, ADDRESS, HEAD, status, body_sent, 0, 3.0, "dev1", 0.0, "")]
    rig.service.clients.note_closed.assert_called_once_with(session)
    assert sock.fileno() == -1


@pytest.mark.parametrize("logs", [False, True])
def test_name_of_a_client_that_is_gone_was_read_if_it_is_logged(
    rig: Rig, now: list[float], logs: bool
) -> None:
    sock = rig.session.sock
    rig.service.access_log = rig.log if logs else None
    session = rig.connect(sock)
    # The log may be switched on later.
    rig.service.access_log = rig.log
    sock.close()
    session.note_answered(200, 0)
    assert [line[1] for line in rig.lines] == [ADDRESS if logs else ""]


def test_name_of_a_client_is_read_when_it_is_needed(rig: Rig, now: list[float]) -> None:
    rig.service.access_log = None
    session = rig.connect(rig.session.sock)
    rig.service.access_log = rig.log
    session.note_answered(200, 0)
    assert [line[1] for line in rig.lines] == [ADDRESS]


def test_requests_are_counted_without_an_access_log(rig: Rig, now: list[float]) -> None:
    rig.service.access_log = None
    rig.session.note_answered(200, 0)
    assert rig.session.counters.cells[b"PUT"][200][0] == 1
    rig.session.request = Request(b"PUT", b"dev1/a", Fields(keep_alive=True))
    rig.session.close()
    rig.service.counters.note_lost_request.assert_called_once_with(b"PUT", 499, 0.0)


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (b"PUT /a b", b"PUT"),
        (b"\r\nPUT /a b", b"PUT"),
        (b"MKCOL", b"MKCOL"),
        (b"BREW /pot", b"other"),
        (b"", b"other"),
    ],
)
def test_request_that_is_refused_unread_counts_by_its_method(
    rig: Rig, now: list[float], head: bytes, method: bytes
) -> None:
    rig.session.request = None
    rig.session.note_unread(head)
    # The first refusal counts.
    rig.session.note_unread(b"other")
    rig.session.note_answered(400, 0)
    assert rig.session.counters.cells[method][400][0] == 1
    assert rig.lines[0][2] == head
