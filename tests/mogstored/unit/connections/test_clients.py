"""Connections are counted, and idle ones closed where descriptors run out."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.connections import clients as module
from mogstored.connections.clients import Clients
from mogstored.log.handlers import NOTICE
from tests.support.clock import stop_clock
from tests.support.threads import Running
from tests.support.waiting import promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import WorkerPool
    from mogstored.connections.buffers import Buffers
    from mogstored.connections.connection import Connection

FULL = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Client:
    """A connection; silent for so many seconds."""

    def __init__(self, silent_s: float = 0.0, protocol: str = "http") -> None:
        self.protocol = protocol
        self.may_expire = protocol == "http"
        self.silent_s = silent_s
        self.expired = False
        self.sock = SimpleNamespace(shutdown=lambda _how: None)

    def has_been_silent(self, seconds: float) -> bool:
        return self.silent_s > seconds

    def hang_up(self) -> None:
        """The pool closes it."""


class Pool:
    """Closes at once what is to hang up; notes how often it was asked."""

    def __init__(self) -> None:
        self.waiting: list[Client] = []
        self.clients = Clients(cast("WorkerPool[Connection, Buffers]", self))
        self.asked = 0
        self.closes = True

    def add(self, *added: Client) -> None:
        for each in added:
            self.waiting.append(each)
            self.clients.note_opened(cast("Connection", each))

    def close(self, client: Client) -> None:
        self.waiting.remove(client)
        self.clients.note_closed(cast("Connection", client))

    def step_now(self, chosen: Callable[[Any], bool], act: Callable[[Any], object]) -> int:
        self.asked += 1
        found = [each for each in self.waiting if chosen(each)]
        for each in found:
            act(each)
            if self.closes:
                self.close(each)
        return len(found)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return stop_clock(monkeypatch, module, 1000.0)


@pytest.fixture
def pool(now: list[float]) -> Pool:
    return Pool()


def test_connections_are_counted_by_protocol(pool: Pool) -> None:
    pool.add(Client(), Client(), Client(protocol="sidechannel"))
    assert (pool.clients.count(), pool.clients.by_protocol()) == (3, {"http": 2, "sidechannel": 1})
    # What a connection leaves behind on a device has no protocol.
    pool.clients.note_opened()
    pool.close(pool.waiting[0])
    assert (pool.clients.count(), pool.clients.by_protocol()) == (3, {"http": 1, "sidechannel": 1})
    pool.clients.note_closed()
    assert pool.clients.count() == 2


def test_idle_connections_make_room(
    pool: Pool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "mogstored")
    monkeypatch.setattr(module, "_CLOSE_WAIT_S", 60.0)
    staying = Client(5.0), Client(60.0, "sidechannel")
    pool.add(*staying, Client(5.1), Client(60.0))
    assert promptly(pool.clients.relieve, 1.0)
    assert pool.waiting == list(staying)
    assert caplog.messages == ["expired 2 idle connections (>5 sec)"]
    assert caplog.records[0].levelno == NOTICE


def test_idle_connections_are_looked_for_once_a_second(pool: Pool, now: list[float]) -> None:
    for now[0], asked in ((1000.0, 1), (1000.9, 1), (1001.0, 2), (1001.5, 2), (1002.0, 3)):
        assert not pool.clients.relieve()
        assert pool.asked == asked


def test_one_that_is_closing_is_not_expired_again(
    pool: Pool, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mogstored")
    pool.closes = False
    pool.add(Client(60.0))
    assert not pool.clients.relieve()
    now[0] += 10
    assert not pool.clients.relieve()
    assert len(caplog.messages) == 1


def test_connections_that_wait_for_a_device_are_closed_first(pool: Pool) -> None:
    waiting = [Client(60.0), Client(60.0, "sidechannel")]
    pool.add(*waiting, Client(60.0))
    asked: list[float] = []

    def expire(waited_s: float, accept: Callable[[Any], bool]) -> int:
        asked.append(waited_s)
        chosen = [each for each in waiting if accept(each)]
        for each in chosen:
            pool.close(each)
            waiting.remove(each)
        return len(chosen)

    pool.clients.add_queue(expire)
    assert pool.clients.relieve()
    assert (asked, pool.asked, len(pool.waiting)) == ([5.0], 0, 2)
    assert [each.protocol for each in waiting] == ["sidechannel"]


def test_call_is_made_again_when_there_may_be_room(pool: Pool) -> None:
    def call(number: int) -> str:
        calls.append(number)
        if len(calls) == 1:
            raise OSError(number, os.strerror(number))
        return "done"

    for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        calls: list[int] = []
        assert pool.clients.retry_after_relief(call, number) == "done"
        assert calls == [number, number]
    for number in (errno.EIO, errno.ENOSPC):
        calls = []
        before = pool.asked
        with pytest.raises(OSError, match=os.strerror(number)):
            pool.clients.retry_after_relief(call, number)
        assert (calls, pool.asked) == ([number], before)


def test_failed_accept_makes_room_and_is_logged_once_a_second(
    pool: Pool, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "mogstored")
    pool.add(Client(60.0))
    assert pool.clients.relieve_accept(FULL)
    for now[0] in (1000.9, 1001.0, 1001.9):
        assert not pool.clients.relieve_accept(FULL)
    assert caplog.messages == ["accept failed: Too many open files (EMFILE)"] * 2


def meanwhile(pool: Pool, act: Callable[[], object], call: Callable[[], object]) -> object:
    """Make a call that waits for closes; `act` happens while it does."""
    changed: Any = pool.clients._closed

    def run() -> None:
        wait_until(lambda: changed._waiters, "it waits")
        act()

    acting = Running(run)
    try:
        return call()
    finally:
        acting.result()


def test_all_that_expire_are_awaited(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.closes = False
    pool.add(Client(60.0), Client(60.0))
    met: list[list[bool]] = []

    def wait_for(claim: Callable[[], bool], _timeout_s: float) -> None:
        met.append([])
        for _ in range(2):
            pool.clients._expired_closed += 1
            met[-1].append(claim())

    monkeypatch.setattr(pool.clients._closed, "wait_for", wait_for)
    assert pool.clients.relieve()
    # One that comes too soon to look for them waits for any.
    assert pool.clients.relieve()
    assert (met, pool.asked) == ([[False, True], [True, True]], 1)


def test_all_are_disconnected_and_the_closes_awaited(pool: Pool) -> None:
    pool.add(Client(), Client(60.0, "sidechannel"))
    promptly(lambda: pool.clients.dismiss(60.0), 1.0)
    assert (pool.waiting, pool.clients.count()) == ([], 0)
    pool.closes = False

    def dismiss() -> object:
        pool.add(Client())
        last = pool.waiting[0]
        return meanwhile(pool, lambda: pool.close(last), lambda: pool.clients.dismiss(60.0))

    promptly(dismiss, 10.0)


def test_drain_ends_at_its_deadline(pool: Pool, now: list[float]) -> None:
    pool.clients.note_opened()
    rounds: list[int] = []

    def look(left: int) -> None:
        rounds.append(left)
        now[0] += 1

    pool.step_now = lambda *_: 0  # type: ignore[method-assign]
    assert not pool.clients.drain(look, deadline=1002.0)
    assert rounds == [1, 1]
    pool.clients.note_closed()
    assert pool.clients.drain(look, deadline=0.0)
