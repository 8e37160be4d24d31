"""What a connection waits for from its client, and what it does when that takes too long."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.connections.time_limits import Wait
from mogstored.http import late_clients
from mogstored.http.connection import Abandoned, Discard, Flush, Refusal
from mogstored.http.dispatch import HTTPSession
from mogstored.http.message.partial import PartialHead
from mogstored.http.message.request import Fields
from mogstored.log.rate_limit import BurstLimiter
from mogstored.observability.counters import Counters
from tests.support.clock import stop_clock_of_lines
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Ends = tuple[HTTPSession, socket.socket]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setattr(late_clients, "_lines", BurstLimiter(burst=20, interval_s=1.0))
    monkeypatch.setattr(HTTPSession, "peer", lambda _: "10.0.0.7:9")
    with stream_pair() as (ours, theirs):
        service: Any = SimpleNamespace(
            clients=Mock(), access_log=None, number=0, lingering=Mock(), counters=Counters()
        )
        session = HTTPSession(ours, service)
        session.counters = Buffers().counters
        yield session, theirs


def test_what_is_waited_for(ends: Ends) -> None:
    session, _ = ends
    session.active_at = session.opened_at = 100.0
    assert session.is_idle()
    assert session.waits() == (Wait.FIRST, 100.0)
    session.active_at = 105.0
    assert session.waits() == (Wait.IDLE, 105.0)
    session.pending = b"GET "
    assert session.waits() == (Wait.SEND, 105.0)
    assert not session.is_idle()
    session.head_since = 103.0
    assert session.waits() == (Wait.HEAD, 103.0)
    session.work = Flush(b"x", keep_alive=True)
    assert session.waits() == (Wait.SEND, 105.0)
    session.work = Discard(Fields(keep_alive=True, content_length=5))
    assert session.waits() == (Wait.BODY, 105.0)
    session.work = Abandoned()
    assert session.waits() is None


@pytest.mark.parametrize("member", ["work", "pending", "_partial"])
def test_connection_with_something_to_do_is_not_idle(ends: Ends, member: str) -> None:
    session, _ = ends
    value: dict[str, Any] = {"work": Abandoned(), "pending": b"G", "_partial": PartialHead()}
    setattr(session, member, value[member])
    assert not session.is_idle()


def test_head_that_comes_too_slowly_is_refused(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    session, client = ends
    session._join(b"PUT /dev1/a HTTP/1.1\r\n")
    assert session.head_since > 0
    peer = session.peer()
    session.time_out(Wait.HEAD, 7)
    assert caplog.messages == [
        f"a request from {peer} timed out: its head was not whole within 7 s"
    ]
    assert (session.head_since, session._partial) == (0.0, None)
    assert session.request is not None
    assert session.request.method == b"PUT"
    assert isinstance(session.work, Refusal)
    assert session.step(Buffers()) is Next.READ
    assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_body_that_is_dropped_and_stops(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    session, _ = ends
    session.work = Discard(Fields(keep_alive=True, content_length=5))
    session.time_out(Wait.BODY, 7)
    assert caplog.messages == [
        f"a request from {session.peer()} timed out: nothing of its body came for 7 s"
    ]
    assert session.step(Buffers()) is Next.CLOSE
    # Meanwhile it may have come.
    session.work = None
    session.time_out(Wait.BODY, 7)
    assert len(caplog.messages) == 1


def test_body_that_is_dropped_and_malformed_is_no_request(ends: Ends) -> None:
    session, client = ends
    session.work = Discard(Fields(keep_alive=True, chunked=True))
    client.sendall(b"zz\r\nGET / HTTP/1.1\r\n\r\n")
    buffers = Buffers()
    assert session.step(buffers) is Next.READ
    assert client.recv(4096) == b"", "its request was answered before"
    assert session.request is None
    assert not any(buffers.counters.cells.values())
    client.close()
    assert session.step(buffers) is Next.CLOSE


@pytest.mark.parametrize("has_work", [True, False])
def test_client_that_stops_reading(
    ends: Ends, caplog: pytest.LogCaptureFixture, *, has_work: bool
) -> None:
    session, _ = ends
    if has_work:
        session.work = Flush(b"x", keep_alive=True)
    peer = session.peer()
    session.time_out(Wait.SEND, 7)
    assert caplog.messages == [f"sending an answer to {peer} timed out: nothing was taken for 7 s"]
    linger = session.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", linger) == (1, 0), "a close resets it"
    assert isinstance(session.work, Flush if has_work else Abandoned)


@pytest.mark.parametrize("wait", [Wait.FIRST, Wait.IDLE])
def test_idle_client_is_left_without_a_line(
    ends: Ends, caplog: pytest.LogCaptureFixture, wait: Wait
) -> None:
    session, _ = ends
    session.time_out(wait, 7)
    assert session.step(Buffers()) is Next.CLOSE
    assert caplog.messages == []


@pytest.mark.parametrize(
    "report",
    [
        lambda: late_clients.report_head("a:1", 5),
        lambda: late_clients.report_body("a:1", 5),
        lambda: late_clients.report_send("a:1", 5, "an answer"),
    ],
)
def test_lines_have_an_end(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    report: Callable[[], None],
) -> None:
    now = stop_clock_of_lines(monkeypatch, 1000.0, late_clients._lines)
    for _ in range(25):
        report()
    assert len(caplog.messages) == 20
    now[0] += 1.0
    report()
    assert caplog.messages[-1].endswith(" s; 5 more since the last such line")
    assert {record.client for record in caplog.records} == {"a:1"}  # type: ignore[attr-defined]


def test_work_is_abandoned_by_each_way_out(ends: Ends) -> None:
    session, _ = ends
    session.work = work = Mock()
    abandon = session.detach()
    assert isinstance(session.work, Abandoned)
    assert not work.abandon.called
    abandon()
    work.abandon.assert_called_once_with()
    session.work = work = Mock()
    session.close()
    work.abandon.assert_called_once_with()
    assert session.sock.fileno() == -1


def test_100_is_sent_once_to_a_client_that_can_read_it(ends: Ends) -> None:
    session, client = ends
    session.send_ahead()
    session.work = work = Abandoned()
    session.send_ahead()
    work.takes_interim = True
    session.send_ahead()
    session.send_ahead()
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.recv(4096) == interim
    assert session.service.counters.transferred() == (0, len(interim))


def test_answer_that_does_not_fit_is_flushed(ends: Ends) -> None:
    session, client = ends
    content = bytes(range(256)) * 20_000
    buffers = Buffers()
    want = session.answer(200, b"HEAD\r\n\r\n", keep_alive=True, content=content)
    received = b""
    while want is Next.WRITE:
        received += client.recv(2**20)
        want = session.step(buffers)
    while len(received) < len(content) + 8:
        received += client.recv(2**20)
    assert want is Next.READ
    assert received == b"HEAD\r\n\r\n" + content
    assert session.work is None


@pytest.mark.parametrize(
    ("sent", "want"),
    [(b"x" * 4, Next.READ), (b"x" * 5, Next.READ), (b"x" * 5 + b"GET ", Next.AGAIN)],
)
def test_body_without_a_use_is_dropped(ends: Ends, sent: bytes, want: Next) -> None:
    session, client = ends
    assert session.skip_body(Fields(keep_alive=True, content_length=5), keep_alive=True)
    assert session.answer(200, b"HEAD", keep_alive=True) is Next.AGAIN
    client.sendall(sent)
    buffers = Buffers()
    assert session.work is not None
    assert session.work.advance(session, buffers) is want
    assert session.pending == sent[5:]
    assert (session.work is None) is (len(sent) >= 5)
    assert buffers.counters.received == len(sent)


@pytest.mark.parametrize(("size", "keeps"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_long_body_ends_the_connection(ends: Ends, size: int, keeps: bool) -> None:
    session, _ = ends
    assert session.skip_body(Fields(keep_alive=True, content_length=size), True) is keeps
    want = session.answer(200, b"HEAD", keep_alive=keeps)
    assert want is (Next.AGAIN if keeps else Next.READ)
    lingering: Any = session.service.lingering
    assert lingering.add.called is not keeps
