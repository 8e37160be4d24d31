"""What deadlines cost a pool of 10,000 tasks: one that is set in every step, and one that passes.

A pool of one thread. A few sockets have a byte to read all the time, so their tasks are stepped
without end, and set their deadline anew in each step as a server does with every request. The
other tasks wait with a deadline of their own. Beside it the timers of asyncio, one cancelled and
one begun for each request, while as many others are under way.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.environment import alternating
from bench.poller.cycle import FEW, MANY, readable
from mogpoll import Next, Reason, WorkerPool, open_poller

# As long as those of a server.
LIMIT_S = 60.0
# For those that are to pass: as long as it takes to set all of them, and more.
_SHORT_S = 5.0
_WARM_UP = 1000
_PATIENCE_S = 60.0

Step = Callable[["_Task"], Next]


class _Task:
    def __init__(self, fd: int, act: Step) -> None:
        self._fd, self._act = fd, act

    def fileno(self) -> int:
        return self._fd

    def step(self, _: None) -> Next:
        return self._act(self)

    def close(self) -> None:
        """The measurement closes the sockets."""


class _Busy:
    """Tasks that are ready all the time. **Threads:** `act` is called by the one worker."""

    def __init__(self, pool: WorkerPool[_Task, None], limit_s: float | None) -> None:
        self._pool, self._limit_s = pool, limit_s
        self._left = 0
        self._began_s = self._took_s = 0.0
        self._is_over = threading.Event()

    def act(self, task: _Task) -> Next:
        if self._limit_s is not None:
            self._pool.set_deadline(task, self._limit_s)
        self._left -= 1
        if not self._left:
            self._took_s = time.thread_time() - self._began_s
            self._is_over.set()
        return Next.READ

    def step_us(self, count: int) -> float:
        """Return the processor time of the worker for a step, as the mean of so many."""

        def begin() -> None:
            self._began_s, self._left = time.thread_time(), count

        self._is_over.clear()
        self._pool.call_later(0, begin)
        _await(self._is_over)
        return self._took_s / count * 1e6


def compare(rounds: int, count: int) -> tuple[list[float], list[float]]:
    """Microseconds of a step with deadlines and without, by round."""
    found: tuple[list[float], list[float]] = ([], [])
    with _busy(MANY, LIMIT_S) as limited, _busy(FEW, None) as free:
        gc.collect()
        for order in alternating([(limited, found[0]), (free, found[1])], rounds):
            for each, own in order:
                own.append(each.step_us(count))
    return found


@contextmanager
def _busy(tasks: int, limit_s: float | None) -> Iterator[_Busy]:
    with (
        readable(FEW, tasks) as (full, empty),
        open_poller() as poller,
        WorkerPool[_Task, None](poller, 1) as pool,
    ):
        made = _Busy(pool, limit_s)
        for fd in [*empty, *full]:
            pool.add(_Task(fd, made.act), deadline_s=limit_s)
        made.step_us(_WARM_UP)
        yield made


def passing_us() -> float:
    """Return the processor time of the process for a deadline that passes, with its step."""
    is_over, left = threading.Event(), MANY

    def act(task: _Task) -> Next:
        nonlocal left
        if pool.reason is not Reason.DEADLINE:
            pool.set_deadline(task, _SHORT_S)
            return Next.READ
        left -= 1
        if not left:
            is_over.set()
        return Next.READ

    with (
        readable(0, MANY) as (_, empty),
        open_poller() as poller,
        WorkerPool[_Task, None](poller, 1) as pool,
    ):
        for fd in empty:
            pool.add(_Task(fd, act))
        gc.collect()
        pool.step_now(lambda _: True)
        while pool.statistics().deadlines < MANY:
            time.sleep(_SHORT_S / 100)
        began_s = time.process_time()
        _await(is_over)
        return (time.process_time() - began_s) / MANY * 1e6


def asyncio_us(count: int) -> float:
    """Return the processor time to cancel a timer of asyncio and begin one, among 10,000."""
    loop = asyncio.new_event_loop()
    try:
        handles = [loop.call_later(LIMIT_S, _nothing) for _ in range(MANY)]
        began_s = time.thread_time()
        for at in range(count):
            handles[at % FEW].cancel()
            handles[at % FEW] = loop.call_later(LIMIT_S, _nothing)
            if at % FEW == 0:
                # Else those that were cancelled are never removed.
                loop.run_until_complete(_no_time())
        return (time.thread_time() - began_s) / count * 1e6
    finally:
        loop.close()


async def _no_time() -> None:
    """One round of the loop."""


def _nothing() -> None:
    """What would be called."""


def _await(event: threading.Event) -> None:
    if not event.wait(_PATIENCE_S):
        raise TimeoutError(f"not done after {_PATIENCE_S:g} s")


def added(limited_us: Sequence[float], free_us: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(limited_us, free_us, strict=True)]
