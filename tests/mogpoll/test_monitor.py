"""The monitor looks while events wait in the queue, and sees what the workers really did."""

from __future__ import annotations

import os
import queue
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mogpoll.monitor import Monitor
from tests.support.threads import may_be_asleep
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Worker:
    waiting: bool = False
    steps: int = 0
    # No thread has it: who is said to be stuck is then not seen waiting for a processor.
    native_id: int = 0


class Pool:
    """A queue that is readable when somebody says so, and the monitor's words on it."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.changes: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe()
        self.monitor = Monitor(
            self._reader, 1, lambda: list(self.workers), self.changes.put, "monitor"
        )

    def fill(self) -> None:
        os.write(self._writer, b"a")

    def watched(self, looks: int) -> list[int]:
        self.monitor.start()
        self.fill()
        return [self.changes.get(timeout=20) for _ in range(looks)]

    def close(self) -> None:
        self.monitor.end()
        if self.monitor.ident is not None:
            self.fill()
            self.monitor.join(20)
        assert not self.monitor.is_alive()
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.close()


def test_workers_that_have_done_nothing_since_the_last_look_are_stuck(pool: Pool) -> None:
    """However much they did before; and with each look more of the others are called."""
    pool.workers = [Worker(steps=1000), Worker(steps=7)]
    assert pool.watched(looks=4) == [1, 2, 4, 8]


def test_workers_that_wait_are_not_stuck_and_need_no_help(pool: Pool) -> None:
    pool.workers = [Worker(waiting=True, steps=1000), Worker(waiting=True), Worker(waiting=True)]
    assert pool.watched(looks=2) == [-2, -2]


def test_one_that_waits_beside_one_that_is_stuck_is_enough(pool: Pool) -> None:
    pool.workers = [Worker(steps=3), Worker(waiting=True)]
    assert pool.watched(looks=2) == [0, 0]


def test_looks_become_fewer_while_nothing_is_to_be_done(pool: Pool) -> None:
    """Each costs the workers some time; ten of the first kind would be over in 40 ms."""
    pool.workers = [Worker(waiting=True)]
    began = time.monotonic()
    assert pool.watched(looks=10) == [0] * 10
    assert time.monotonic() - began > 0.1


def test_nothing_is_looked_at_while_the_queue_is_empty(pool: Pool) -> None:
    pool.workers = [Worker()]
    pool.monitor.start()
    wait_until(lambda: may_be_asleep(pool.monitor), "the monitor sleeps")
    assert pool.changes.empty()


def test_monitor_that_was_told_to_end_changes_nothing_any_more(pool: Pool) -> None:
    pool.workers = [Worker()]
    pool.monitor.start()
    pool.monitor.end()
    pool.fill()
    pool.monitor.join(20)
    assert pool.changes.empty()
