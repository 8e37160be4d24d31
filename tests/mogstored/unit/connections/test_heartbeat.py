"""A heartbeat comes from the pool's workers, or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import Next, WorkerPool, open_poller
from mogstored.connections.heartbeat import Heartbeat
from mogstored.log import rate_limit
from tests.support.clock import stop_clock
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 2


class Blocking:
    """A task that holds its thread until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def fileno(self) -> int:
        return -1

    def step(self, _buffers: object) -> Next:
        self.begun.set()
        assert self.released.wait(PATIENCE_S)
        return Next.PARKED

    def close(self) -> None:
        pass


@pytest.fixture
def pool() -> Iterator[WorkerPool[Any, None]]:
    poller = open_poller()
    pool: WorkerPool[Any, None] = WorkerPool(poller, THREADS)
    yield pool
    assert pool.stop(PATIENCE_S)
    poller.close()


def test_pool_that_steps_gives_signs(pool: WorkerPool[Any, None]) -> None:
    heartbeat = Heartbeat(pool.resume)
    for _ in range(3):
        wait_until(heartbeat.beat, "the pool has stepped")


def test_no_sign_while_all_threads_are_stuck(pool: WorkerPool[Any, None]) -> None:
    heartbeat = Heartbeat(pool.resume)
    tasks = [Blocking() for _ in range(THREADS)]
    for task in tasks:
        pool.resume(task)
        assert task.begun.wait(PATIENCE_S)
    heartbeat.beat()
    assert not any(heartbeat.beat() for _ in range(100))
    for task in tasks:
        task.released.set()
    wait_until(heartbeat.beat, "the pool steps again")


def test_sign_is_asked_for_once_at_a_time() -> None:
    resumed: list[object] = []
    heartbeat = Heartbeat(resumed.append)
    assert heartbeat.beat()
    assert not heartbeat.beat()
    assert not heartbeat.beat()
    assert resumed == [heartbeat]
    assert heartbeat.step(None) is Next.PARKED
    assert heartbeat.beat()
    assert resumed == [heartbeat, heartbeat]


def test_keep_alive_is_due_once_in_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, rate_limit, 1000.0)
    assert not Heartbeat(lambda _: None).is_due()
    heartbeat = Heartbeat(lambda task: task.step(None), 10.0)
    for now[0], is_due in ((1000.0, True), (1009.9, False), (1010.0, True), (1011.0, False)):
        assert heartbeat.is_due() is is_due
    stuck = Heartbeat(lambda _: None, 10.0)
    assert stuck.is_due()
    now[0] += 10.0
    assert not stuck.is_due()
