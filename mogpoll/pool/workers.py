"""Threads that share one poller and step whatever is ready.

One queue serves idle and busy descriptors. A step may block on a disk: all workers wait on the
same queue, so the next free one takes the next event. A worker takes one event at a time; a batch
would strand the other events behind a step that blocks (n11).

A task belongs to its worker from the event until it is re-armed. A step may give it to another
thread and return `Next.PARKED`; `resume` returns it. A thread that takes a waiting task out of the
table owns it: so tasks can be notified, stepped at a deadline and swept (`mogpoll.pool.table`).

The pool has a `BouncingWaker`, to end all threads at a stop and wake one for a queued task. The
parts: `mogpoll.pool.loop` is what a worker does, `mogpoll.pool.crew` starts and ends workers,
`mogpoll.pool.monitor` decides how many run, `mogpoll.pool.timers` has the deadlines.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, cast, overload

from mogpoll.interest import Interest
from mogpoll.poller import Poller
from mogpoll.pool.crew import Crew, default_spare
from mogpoll.pool.loop import Loop
from mogpoll.pool.monitor import Monitor
from mogpoll.pool.statistics import PoolStatistics
from mogpoll.pool.step import Next, Reason, T, W
from mogpoll.pool.timers import DelayedCall, DueCall, Timers
from mogpoll.system.timeouts import clip_timeout


class WorkerPool(Generic[T, W]):
    """`threads` threads that step the tasks of `poller`.

    Each thread calls `workspace` once, for buffers say, and passes the result to every step.
    `spare` is the number of threads that run while nothing blocks: by default one under the
    interpreter lock, else one a processor.

    An exception of a step is logged and closes its task only, and so does a result that is no
    `Next`. The pool holds the poller: one that is closed before is closed at the end of the stop.

    **Raises:** `ThreadRefused` if not all threads can be started, and leaves none; `ValueError`.

    **Threads:** any; a worker must not call `stop` or `resize`. `_lock` guards `_is_stopped`.
    """

    @overload
    def __init__(
        self: WorkerPool[T, None],
        poller: Poller,
        threads: int,
        *,
        spare: int | None = None,
        name: str = "worker",
    ) -> None: ...
    @overload
    def __init__(
        self,
        poller: Poller,
        threads: int,
        *,
        workspace: Callable[[], W],
        spare: int | None = None,
        name: str = "worker",
    ) -> None: ...
    def __init__(
        self,
        poller: Poller,
        threads: int,
        *,
        workspace: Callable[[], Any] = lambda: None,
        spare: int | None = None,
        name: str = "worker",
    ) -> None:
        self._poller = poller
        self._name = name
        spare = default_spare() if spare is None else spare
        self._lock = threading.Lock()
        self._is_stopped = False
        self._loop: Loop[T, W] = Loop(poller, workspace)
        self._table = table = self._loop.table
        self._crew = crew = self._loop.crew = Crew(name, spare, self._loop.main)
        self._timers = Timers(name, table.deadlines, table.claim_overdue, self._run_timer)
        self._monitor = Monitor(poller.fileno(), spare, crew, f"{name}-monitor")
        poller.hold()
        try:
            crew.start(threads)
            self._monitor.start()
        except BaseException:
            self.stop()
            raise

    def add(
        self, task: T, interest: Interest = Interest.READ, *, deadline_s: float | None = None
    ) -> None:
        """Add a task, and step it when it is ready for `interest`.

        `deadline_s` is as by `set_deadline`.

        **Raises:** `PoolStopped`; `TypeError` if it lacks a method of a task; as `Poller.add` and
        `set_deadline`. The caller then still owns the task.
        """
        prepare = None
        if deadline_s is not None:
            prepare = partial(self._timers.set_deadline, id(task), seconds=deadline_s)
        self._table.add(task, interest, prepare)

    def notify(self, task: T) -> bool:
        """Step a task soon, ready or not; return False if it is not in the pool (any more).

        A step begins after each call: if the task is in a step now, another follows. Calls
        before that step begins share it, but for two gaps of an instant: one step too many may
        come if a step begins while a call runs, or just after its worker looked for calls. A
        parked task is left to its owner: the step after its `resume` is the one.

        **Threads:** any, and steps; it takes no lock that is held for long.
        """
        return self._table.mark(task, Next.NOTIFIED)

    def close(self, task: T) -> bool:
        """Let a worker close a task soon, as `notify` lets it step one.

        A step that runs ends before; a parked task is closed when it is resumed.
        """
        return self._table.mark(task, Next.CLOSE)

    def set_deadline(self, task: T, seconds: float | None) -> None:
        """Step a task after so many seconds, if nothing else does before.

        Only its owner may call this: its step. The deadline is for the next wait, as an arming
        is; each step sets its own. None, or less than 0, is none. It is never early, and late by
        up to 1/64 of `seconds`. A parked task has no deadline.

        **Raises:** `ThreadRefused` at the first use; `ValueError` for NaN.
        """
        self._timers.set_deadline(id(task), task.fileno(), seconds)

    def call_later(self, seconds: float, call: Callable[[], object]) -> DelayedCall:
        """Let a worker call `call` after so many seconds, unless the timer is cancelled before.

        It may block as a step may. An exception is logged. `stop` drops what is to come.

        **Raises:** `PoolStopped`; `ThreadRefused` at the first use; `ValueError`.
        """
        return self._timers.call_later(seconds, call)

    @property
    def reason(self) -> Reason:
        """Why the step was called that runs in this thread.

        **Raises:** `RuntimeError` in other threads.
        """
        worker = self._loop.workers.get(threading.get_ident())
        if worker is None:
            raise RuntimeError(f"no step of {self!r} runs in this thread")
        return worker.reason

    def resume(self, task: T) -> None:
        """Step a parked task now, ready or not; the caller gives up ownership.

        Called from a step, the same thread runs it after that step. If there is no memory to
        queue the task, it is closed.
        """
        self._table.put(task, Reason.RESUMED)

    def step_now(self, chosen: Callable[[T], bool], act: Callable[[T], None] | None = None) -> int:
        """Sweep: step the waiting tasks that `chosen` accepts, ready or not; return their number.

        `act` is called first with each, and owns it meanwhile; `chosen` does not own the task
        it looks at. Tasks that are in a step are left alone, and do not learn of it: to wake one,
        use `notify`. The cost grows with all waiting tasks.
        """
        return self._table.sweep(chosen, act)

    def waiting_tasks(self) -> list[T]:
        """Return the tasks that wait in the poller now; the caller does not own them."""
        return list(self._table.armed.values())

    def statistics(self) -> PoolStatistics:
        """Return what the pool does now."""
        waiting, busy, parked, steps = self._crew.census()
        deadlines, timers = self._timers.counts()
        table = self._table
        armed, queued, tasks = len(table.armed), len(table.queue), len(table.members)
        return PoolStatistics(
            threads_waiting=waiting,
            threads_busy=busy,
            threads_parked=parked,
            steps=steps,
            tasks=tasks,
            armed=armed,
            queued=queued,
            parked=max(0, tasks - armed - queued - busy),
            deadlines=deadlines,
            timers=timers,
        )

    @property
    def size(self) -> int:
        """The number of threads, without those about to end."""
        return self._crew.size

    def resize(self, threads: int) -> None:
        """Change the number of threads; surplus ones finish their step first.

        Threads that the system refuses are tried again each second.
        **Raises:** `ValueError` below 1.
        """
        if self._crew.resize(threads):
            self._loop.waker.wake()

    def stop(self, timeout_s: float | None = None) -> bool:
        """End all threads after their step and close the remaining tasks.

        Return False, and close nothing, if a thread or a sweep does not end within `timeout_s`
        seconds; None, or less than 0, waits without limit. `add` is refused from now on. A
        parked task that is resumed later is closed then. Stopping twice is harmless.
        """
        if timeout_s is not None:
            timeout_s = clip_timeout(timeout_s)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if not self._table.refuse_more(timeout_s):
            return False
        with self._lock:
            if self._is_stopped:
                return True
            threads: list[_Ending] = [*self._crew.stop(), self._monitor, self._timers]
            self._monitor.end()
            self._timers.end()
            self._loop.waker.wake()
        for thread in threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return False
        with self._lock:
            if not self._is_stopped:
                self._is_stopped = True
                self._loop.close_waker()
                self._poller.release()
        self._loop.close_left()
        return True

    def __enter__(self) -> WorkerPool[T, W]:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._is_stopped else f"{self.size} threads"
        return f"<WorkerPool {self._name!r}, {state}, {len(self._table.members)} tasks>"

    def _run_timer(self, call: DueCall) -> None:
        self._table.put(cast("T", call), Reason.RESUMED)


class _Ending(Protocol):
    def join(self, timeout: float | None = None, /) -> None: ...

    def is_alive(self) -> bool: ...
