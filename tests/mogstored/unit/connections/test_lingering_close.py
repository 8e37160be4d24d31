"""Connections that wait for their client to read a last answer end after the time limit."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.connections.lingering_close import LingeringClose
from tests.support.waiting import PATIENCE_S, promptly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINGER_S = 0.02


class Pool:
    """Records the connections it should end, and never ends one."""

    def __init__(self) -> None:
        self.line: list[Any] = []
        self.asked: SimpleQueue[list[Any]] = SimpleQueue()

    def step_now(self, chosen: Callable[[Any], bool], _before: object) -> int:
        self.asked.put([connection for connection in self.line if chosen(connection)])
        return 0

    def linger(self, lingering: LingeringClose, fd: int = 5) -> Any:
        connection = FakeConnection(fd)
        self.line.append(connection)
        lingering.add(connection)  # type: ignore[arg-type]
        return connection


class FakeConnection:
    """The part of a connection that is read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def lingering(pool: Pool) -> Iterator[LingeringClose]:
    made = LingeringClose(pool, LINGER_S)  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop()


def test_one_that_was_in_a_step_is_met_again(pool: Pool, lingering: LingeringClose) -> None:
    connection = pool.linger(lingering)

    def meet() -> list[list[Any]]:
        return [pool.asked.get(timeout=PATIENCE_S) for _ in range(3)]

    assert promptly(meet, 1.0) == [[connection]] * 3


def test_one_that_has_ended_is_left_alone(pool: Pool, lingering: LingeringClose) -> None:
    gone = pool.linger(lingering, fd=-1)
    assert pool.asked.get(timeout=PATIENCE_S) == [gone]
    other = pool.linger(lingering)
    for _ in range(3):
        assert pool.asked.get(timeout=PATIENCE_S) == [other]


def test_first_come_are_ended_first(pool: Pool, lingering: LingeringClose) -> None:
    first = pool.linger(lingering)
    assert pool.asked.get(timeout=PATIENCE_S) == [first]
    second = pool.linger(lingering)
    seen = [pool.asked.get(timeout=PATIENCE_S) for _ in range(4)]
    assert [second] in seen or [first, second] in seen
