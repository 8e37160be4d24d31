"""The deadlines of a pool's tasks, and calls to make later: one thread that sleeps until the next.

Time-outs are set far more often than they pass, so a deadline that is set anew leaves the heap
alone: the entry that the task has there moves when it comes up. A task has one entry, and no more
once a deadline is set earlier. Entries of tasks that have gone are removed once they are the most.

Deadlines are gathered: they are late by up to 1/64 of their length, so that tasks with time-outs
of 60 s wake the thread once a second rather than each on its own.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
from functools import partial

from mogpoll.pool.step import Next, PoolStopped
from mogpoll.pool.table import Deadline
from mogpoll.system.timeouts import LONGEST_S, clip_timeout
from mogpoll.threads import log_exception, start_thread

_GATHERED = 64
_INSTANT_S = 1e-6
# Between tries while the task is still being stepped.
_MIN_RETRY_S = 0.01
# Entries without use in the heap, before it is looked through.
_MIN_GARBAGE = 256

# Skips the named tuple's Python-level constructor.
_new_deadline = partial(tuple.__new__, Deadline)


class DelayedCall:
    """A call to be made later; see `WorkerPool.call_later`.

    **Threads:** any. Taking the call out of `_call` decides between a cancel and the call.
    """

    __slots__ = ("_call", "_on_cancel", "at", "is_due")

    def __init__(
        self, at: float, call: Callable[[], object], on_cancel: Callable[[DelayedCall], object]
    ) -> None:
        self.at = at
        """When the call is made, on the monotonic clock."""
        self.is_due = False
        """Whether a worker has it now, or had it."""
        self._call = [call]
        self._on_cancel = on_cancel

    def cancel(self) -> bool:
        """Make no call; return False if it is made already, or was cancelled."""
        if self._take() is None:
            return False
        self._on_cancel(self)
        return True

    def _take(self) -> Callable[[], object] | None:
        try:
            return self._call.pop()
        except IndexError:
            return None

    def __repr__(self) -> str:
        for call in self._call.copy():
            return f"<DelayedCall in {self.at - time.monotonic():.3f} s: {call!r}>"
        return "<DelayedCall, over>"


class DueCall:
    """A timer that is due, as a task that a worker steps once."""

    def __init__(self, timer: DelayedCall) -> None:
        self._timer = timer

    def fileno(self) -> int:
        return -1

    def step(self, _workspace: object) -> Next:
        call = self._timer._take()
        if call is not None:
            try:
                call()
            except BaseException:
                log_exception("a timer's call of %r failed", call)
        # No thread owns it from now on.
        return Next.PARKED

    def close(self) -> None:
        """The pool has stopped."""
        self._timer._take()

    def __repr__(self) -> str:
        return f"the call of {self._timer!r}"


class Timers:
    """Calls `on_deadline` and `on_timer` when their time has come.

    `deadlines` is the table of those in force, from which others remove. `on_deadline` returns
    whether the deadline was met or is no longer in force; otherwise it is called again.

    **Threads:** any. `_lock` guards `_heap`, `_entries`, `_timers`, `_thread` and `_is_over`.
    """

    def __init__(
        self,
        name: str,
        deadlines: dict[int, Deadline],
        on_deadline: Callable[[int, Deadline], bool],
        on_timer: Callable[[DueCall], None],
    ) -> None:
        self._name = name
        self._deadlines = deadlines
        self._on_deadline, self._on_timer = on_deadline, on_timer
        # Entered by itself: the condition's own entry is a call of Python.
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._serials = itertools.count()
        # By time. A number is the identity of a task.
        self._heap: list[tuple[float, int, DelayedCall | int]] = []
        # The time of each task's entry in the heap; others of it are left over.
        self._entries: dict[int, float] = {}
        self._timers = 0
        self._thread: threading.Thread | None = None
        self._is_over = False

    def set_deadline(self, key: int, fd: int, seconds: float | None) -> None:
        """**Raises:** `ThreadRefused`; `ValueError` for NaN."""
        if seconds is None or (seconds := clip_timeout(seconds)) is None:
            self._deadlines.pop(key, None)
            return
        # A moment that others have, too.
        step = seconds / _GATHERED or _INSTANT_S
        at = math.ceil((time.monotonic() + seconds) / step) * step
        deadline = _new_deadline((at, fd, max(_MIN_RETRY_S, step)))
        with self._lock:
            if self._is_over:
                return
            if self._thread is None:
                self._start()
            self._deadlines[key] = deadline
            if self._entries.get(key, math.inf) > at:
                self._enter(key, at)

    def call_later(self, seconds: float, call: Callable[[], object]) -> DelayedCall:
        """**Raises:** `PoolStopped`, `ThreadRefused`; `ValueError` for NaN and less than 0."""
        if not seconds >= 0:
            raise ValueError(f"a call in {seconds!r} seconds")
        timer = DelayedCall(time.monotonic() + seconds, call, self._note_cancelled)
        with self._lock:
            if self._is_over:
                raise PoolStopped(f"the pool is stopped and does not call {call!r}")
            if self._thread is None:
                self._start()
            self._timers += 1
            self._push(timer.at, timer)
        return timer

    def counts(self) -> tuple[int, int]:
        """Return the numbers of deadlines in force and of calls to come."""
        with self._lock:
            return len(self._deadlines), self._timers

    def end(self) -> None:
        """Forget all; `join` waits for the thread."""
        with self._lock:
            self._is_over = True
            self._heap.clear()
            self._news.notify()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _start(self) -> None:
        """Start the thread at first use; the caller holds the lock."""
        self._thread = start_thread(self._run, f"{self._name}-timers", lasting=True)

    def _enter(self, key: int, at: float) -> None:
        """Give a task its entry; the caller holds the lock."""
        self._entries[key] = at
        self._push(at, key)

    def _push(self, at: float, item: DelayedCall | int) -> None:
        """The caller holds the lock."""
        heap = self._heap
        if len(heap) > 2 * (len(self._deadlines) + self._timers) + _MIN_GARBAGE:
            self._collect()
        heapq.heappush(heap, (at, next(self._serials), item))
        if heap[0][2] is item:
            self._news.notify()

    def _collect(self) -> None:
        """Remove what has no use from the heap; the caller holds the lock."""
        entries, deadlines = self._entries, self._deadlines
        self._heap[:] = [entry for entry in self._heap if self._has_use(*entry)]
        heapq.heapify(self._heap)
        for key in [key for key in entries if key not in deadlines]:
            del entries[key]

    def _has_use(self, at: float, _serial: int, item: DelayedCall | int) -> bool:
        if isinstance(item, DelayedCall):
            return bool(item._call)
        return item in self._deadlines and self._entries.get(item) == at

    def _note_cancelled(self, timer: DelayedCall) -> None:
        with self._lock:
            if not timer.is_due:
                self._timers -= 1

    def _run(self) -> None:
        while True:
            with self._lock:
                due = self._next_due()
                if due is None:
                    if self._is_over:
                        return
                    self._news.wait(self._sleep_s())
                    continue
            due()

    def _sleep_s(self) -> float | None:
        """The caller holds the lock."""
        if not self._heap:
            return None
        return min(LONGEST_S, max(0.0, self._heap[0][0] - time.monotonic()))

    def _next_due(self) -> Callable[[], object] | None:
        """Take out what is due and return what to do then; the caller holds the lock."""
        heap, now = self._heap, time.monotonic()
        while heap and heap[0][0] <= now:
            at, _, item = heapq.heappop(heap)
            if isinstance(item, DelayedCall):
                if item._call:
                    item.is_due = True
                    self._timers -= 1
                    return partial(self._on_timer, DueCall(item))
                continue
            if self._entries.get(item) != at:
                continue
            del self._entries[item]
            deadline = self._deadlines.get(item)
            if deadline is None:
                continue
            if deadline.at <= now:
                return partial(self._meet, item, deadline)
            self._enter(item, deadline.at)
        return None

    def _meet(self, key: int, deadline: Deadline) -> None:
        if self._on_deadline(key, deadline):
            return
        with self._lock:
            if self._deadlines.get(key) is deadline and key not in self._entries:
                self._enter(key, time.monotonic() + deadline.retry_s)
