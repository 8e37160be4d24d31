"""Which connections a stop closes, and when."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from mogstored.connections.clients import Clients
from mogstored.connections.connection import SETTLE_S, Connection, has_settled
from tests.support.waiting import promptly

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import WorkerPool
    from mogstored.connections.buffers import Buffers

LONG_AGO_S = 60.0


class FakeConnection:
    """The part of a connection that a drain reads."""

    expired = False
    protocol = "http"

    def __init__(self, *, idle: bool, active_at: float) -> None:
        self._idle = idle
        self.active_at = active_at

    def is_idle(self) -> bool:
        return self._idle

    def is_settled(self) -> bool:
        return self._idle and has_settled(self.active_at)


class FakePool:
    """Closes each connection that it is asked to step."""

    def __init__(self) -> None:
        self.waiting: list[FakeConnection] = []
        self.clients: Clients

    def add(self, connection: FakeConnection) -> FakeConnection:
        self.waiting.append(connection)
        self.clients.note_opened(cast("Connection", connection))
        return connection

    def close(self, connection: FakeConnection) -> None:
        self.waiting.remove(connection)
        self.clients.note_closed(cast("Connection", connection))

    def step_now(self, chosen: Callable[[Any], bool]) -> int:
        claimed = [connection for connection in self.waiting if chosen(connection)]
        for connection in claimed:
            self.close(connection)
        return len(claimed)


def pool_of_clients() -> FakePool:
    pool = FakePool()
    pool.clients = Clients(cast("WorkerPool[Connection, Buffers]", pool))
    return pool


def test_idle_ones_are_closed_at_once() -> None:
    pool = pool_of_clients()
    for _ in range(3):
        pool.add(FakeConnection(idle=True, active_at=monotonic() - LONG_AGO_S))
    rounds: list[int] = []
    pool.clients.drain(rounds.append)
    assert rounds == [3]


def test_one_that_was_busy_a_moment_ago_gets_more_time() -> None:
    pool = pool_of_clients()
    began = monotonic()
    pool.add(FakeConnection(idle=True, active_at=began))
    rounds: list[int] = []
    pool.clients.drain(rounds.append)
    assert monotonic() - began > SETTLE_S
    # It does not look all the time.
    assert len(rounds) < 50


def test_one_with_a_running_request_is_waited_for() -> None:
    def drain() -> list[int]:
        pool = pool_of_clients()
        busy = pool.add(FakeConnection(idle=False, active_at=monotonic() - LONG_AGO_S))
        rounds: list[int] = []

        def look(left: int) -> None:
            rounds.append(left)
            if len(rounds) == 3:
                pool.close(busy)

        pool.clients.drain(look)
        return rounds

    assert promptly(drain, 1.0) == [1, 1, 1]
