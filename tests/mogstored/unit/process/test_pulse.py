"""A sign of life comes from the pool's workers, or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import Next, WorkerPool, open_poller
from mogstored.process.pulse import Pulse
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 2


class Blocking:
    """A task that holds its thread until it is told."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def fileno(self) -> int:
        return -1

    def step(self, _workspace: object) -> Next:
        self.begun.set()
        self.released.wait(30.0)
        return Next.PARKED

    def close(self) -> None:
        pass


@pytest.fixture
def pool() -> Iterator[WorkerPool[Any, None]]:
    poller = open_poller()
    pool: WorkerPool[Any, None] = WorkerPool(poller, THREADS)
    yield pool
    assert pool.stop(10.0)
    poller.close()


def test_pool_that_steps_gives_signs(pool: WorkerPool[Any, None]) -> None:
    pulse = Pulse(pool.resume)
    for _ in range(3):
        wait_until(pulse.beat, "the pool has stepped")


def test_no_sign_while_all_threads_are_stuck(pool: WorkerPool[Any, None]) -> None:
    pulse = Pulse(pool.resume)
    tasks = [Blocking() for _ in range(THREADS)]
    for task in tasks:
        pool.resume(task)
        assert task.begun.wait(10.0)
    pulse.beat()
    assert not any(pulse.beat() for _ in range(100))
    for task in tasks:
        task.released.set()
    wait_until(pulse.beat, "the pool steps again")


def test_sign_is_asked_for_once_at_a_time() -> None:
    resumed: list[object] = []
    pulse = Pulse(resumed.append)
    assert pulse.beat()
    assert not pulse.beat()
    assert not pulse.beat()
    assert resumed == [pulse]
    assert pulse.step(None) is Next.PARKED
    assert pulse.beat()
    assert resumed == [pulse, pulse]
