"""The monitor samples workers while events are queued."""

from __future__ import annotations

import os
import queue
import time
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from mogpoll.pool import monitor
from mogpoll.pool.elastic import Sample
from mogpoll.pool.monitor import Monitor
from tests.support.threads import join, may_be_asleep
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Worker:
    waiting: bool = False
    steps: int = 0
    # No thread has it, so a stuck worker is not seen as runnable.
    native_id: int = 0


class Pool:
    """A queue that is readable on demand, and what the monitor makes of it."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.idle_calls = 0
        self.changes: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe()
        self.monitor = Monitor(self._reader, 1, self, "monitor")

    def running(self) -> list[Worker]:
        return list(self.workers)

    def change_running(self, change: int) -> None:
        self.changes.put(change)

    def start_missing(self) -> None:
        self.idle_calls += 1

    def fill(self) -> None:
        os.write(self._writer, b"a")

    def watched(self, looks: int) -> list[int]:
        self.monitor.start()
        self.fill()
        return [self.changes.get(timeout=20) for _ in range(looks)]

    def close(self) -> None:
        self.monitor.end()
        if self.monitor.is_alive():
            self.fill()
            join(self.monitor)
        os.close(self._reader)
        os.close(self._writer)


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.close()


def test_workers_that_have_done_nothing_since_the_last_look_are_stuck(pool: Pool) -> None:
    """However many steps they did before; each sample starts more of the others."""
    pool.workers = [Worker(steps=1000), Worker(steps=7)]
    assert pool.watched(looks=4) == [1, 2, 4, 8]


def test_workers_that_wait_are_not_stuck_and_need_no_help(pool: Pool) -> None:
    pool.workers = [Worker(waiting=True, steps=1000), Worker(waiting=True), Worker(waiting=True)]
    assert pool.watched(looks=2) == [-2, -2]


def test_one_that_waits_beside_one_that_is_stuck_is_enough(pool: Pool) -> None:
    pool.workers = [Worker(steps=3), Worker(waiting=True)]
    assert pool.watched(looks=2) == [0, 0]


def test_looks_become_fewer_while_nothing_is_to_be_done(pool: Pool) -> None:
    """Each sample costs the workers time; ten at the shortest interval would take 40 ms."""
    pool.workers = [Worker(waiting=True)]
    began = time.monotonic()
    assert pool.watched(looks=10) == [0] * 10
    assert time.monotonic() - began > 0.1


def test_nothing_is_looked_at_while_the_queue_is_empty(pool: Pool) -> None:
    pool.workers = [Worker()]
    pool.monitor.start()
    assert pool.monitor._thread is not None
    wait_until(partial(may_be_asleep, pool.monitor._thread), "the monitor sleeps")
    assert pool.changes.empty()
    wait_until(lambda: pool.idle_calls > 1, "the pool is tended")
    assert pool.changes.empty()


def test_monitor_that_was_asked_to_end_changes_nothing(pool: Pool) -> None:
    pool.workers = [Worker()]
    pool.monitor.start()
    pool.monitor.end()
    pool.fill()
    join(pool.monitor)
    assert pool.changes.empty()


def test_sample_is_what_the_workers_did_meanwhile(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.workers = [Worker(steps=5), Worker(steps=7), Worker(steps=2)]
    clock = SimpleNamespace(now=10.0, cpu=1.0)

    def wait(_seconds: float) -> bool:
        pool.workers[0].steps += 3
        clock.now, clock.cpu = clock.now + 0.25, clock.cpu + 0.125
        return False

    times = SimpleNamespace(monotonic=lambda: clock.now, process_time=lambda: clock.cpu)
    monkeypatch.setattr(monitor, "time", times)
    monkeypatch.setattr(monitor, "is_runnable", lambda _native_id: True)
    monkeypatch.setattr(pool.monitor._over, "wait", wait)
    pool.fill()
    seen = Sample(0, busy=1, steps=3, backlog=True, interval_s=0.25, cpu_s=0.125, ready=True)
    assert pool.monitor._sample(0.004) == seen
    pool.workers[2].waiting = True
    seen = Sample(1, busy=1, steps=3, backlog=False, interval_s=0.25, cpu_s=0.125)
    assert pool.monitor._sample(0.004) == seen


class Looks:
    """In the place of a monitor's samples and of its look at the queue."""

    def __init__(self, monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
        # How many workers wait, how many are stuck.
        self.script: list[tuple[int, int]] = []
        self.intervals_ms: list[float] = []
        self.polls: list[int] = []
        monkeypatch.setattr(monitor, "_sample", self.sample)
        monkeypatch.setattr(monitor, "_queue", self)

    def poll(self, timeout_ms: int) -> bool:
        # After how many samples.
        self.polls.append(len(self.intervals_ms))
        return timeout_ms > 0

    def sample(self, interval_s: float) -> Sample | None:
        self.intervals_ms.append(interval_s * 1000)
        if not self.script:
            return None
        waiting, stuck = self.script.pop(0)
        return Sample(
            waiting=waiting, busy=0, steps=0, backlog=stuck > 0, interval_s=interval_s, cpu_s=0.0
        )


@pytest.fixture
def looks(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(pool.monitor, monkeypatch)


def test_looks_are_frequent_again_after_a_change(pool: Pool, looks: Looks) -> None:
    looks.script = [(1, 0)] * 4 + [(0, 1), (1, 0)]
    pool.monitor._run()
    assert looks.intervals_ms == [4, 8, 16, 16, 16, 4, 8]


def test_queue_is_looked_at_first_only_where_a_worker_waited(pool: Pool, looks: Looks) -> None:
    looks.script = [(1, 0), (0, 1), (0, 0), (2, 0)]
    pool.monitor._run()
    assert looks.polls == [0, 1, 4]
