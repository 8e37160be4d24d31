"""Sample a pool's workers while events are queued, and change how many run.

The queue's descriptor is readable while it holds an event. The monitor sleeps until then, samples
the workers over a few milliseconds, and applies `mogpoll.pool.elastic`. It goes on while events
flow, and sleeps when they stop, waking once a second. Workers set two attributes for it.

Each sample makes a worker wait for the interpreter lock. On a loaded machine a sample every 4 ms
made a small PUT 13 % dearer (0.13 waits in the kernel a request instead of 0.01). So the interval
grows to 16 ms (0.05 waits) while nothing has to change, and the kernel is asked only if needed.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from mogpoll.pool.elastic import Elastic, Sample
from mogpoll.system.threadstate import is_runnable
from mogpoll.threads import start_thread

# Of a sample: after a change, and after several samples without one.
_SHORTEST_INTERVAL_S = 0.004
_LONGEST_INTERVAL_S = 0.016
# Between wake-ups while the queue is empty.
_IDLE_INTERVAL_MS = 1000
# A thread's state costs 10 us to read. If 16 threads wait for a disk, so do the others.
_MAX_STATES = 16


class Watched(Protocol):
    """A running worker: whether it waits for an event, and the number of steps it finished.

    **Threads:** written by the worker, read by the monitor without a lock. The values need not
    belong together; the next sample corrects a wrong decision.
    """

    waiting: bool
    steps: int

    @property
    def native_id(self) -> int: ...


class Watchable(Protocol):
    """The workers of a pool; see `mogpoll.pool.crew.Crew`."""

    def running(self) -> Sequence[Watched]: ...

    def change_running(self, change: int) -> None: ...

    def start_missing(self) -> None: ...


class Monitor:
    """A thread that changes how many workers of `crew` run.

    While the queue is empty, it calls `start_missing` once a second.

    **Threads:** calls `crew` from its own thread. `end` may be called from any other; the thread
    ends when the queue becomes readable, or within a second.
    """

    def __init__(self, queue_fd: int, spare: int, crew: Watchable, name: str) -> None:
        self._elastic = Elastic(spare)
        self._crew = crew
        self._name = name
        self._queue = select.poll()
        self._queue.register(queue_fd, select.POLLIN)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """**Raises:** `ThreadRefused`."""
        self._thread = start_thread(self._run, self._name, lasting=True)

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def end(self) -> None:
        """Ask the thread to end; `join` waits for it."""
        self._over.set()

    def _run(self) -> None:
        interval_s = _SHORTEST_INTERVAL_S
        one_waits = True
        while not self._over.is_set():
            if one_waits and not self._queue.poll(_IDLE_INTERVAL_MS):
                self._crew.start_missing()
                continue
            sample = self._sample(interval_s)
            if sample is None:
                return
            change = self._elastic.decide(sample)
            if change:
                interval_s = _SHORTEST_INTERVAL_S
            else:
                interval_s = min(2 * interval_s, _LONGEST_INTERVAL_S)
            one_waits = sample.waiting > 0
            self._crew.change_running(change)

    def _sample(self, interval_s: float) -> Sample | None:
        """Return what the workers did during the interval; None if the monitor is to end."""
        running = self._crew.running()
        seen = [worker.steps for worker in running]
        began, cpu_began = time.monotonic(), time.process_time()
        if self._over.wait(interval_s):
            return None
        steps = [
            worker.steps - before
            for worker, before in zip(running, seen, strict=True)
            if not worker.waiting
        ]
        waiting = len(running) - len(steps)
        backlog = not waiting and bool(self._queue.poll(0))
        return Sample(
            waiting=waiting,
            busy=len(steps) - steps.count(0),
            steps=sum(steps),
            backlog=backlog,
            interval_s=time.monotonic() - began,
            cpu_s=time.process_time() - cpu_began,
            ready=backlog and _any_runnable(running),
        )


def _any_runnable(workers: Sequence[Watched]) -> bool:
    # The last to start are the least likely to be stuck.
    return any(is_runnable(worker.native_id) for worker in workers[-_MAX_STATES:])
