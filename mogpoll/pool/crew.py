"""The threads of a pool: starting, parking, running and ending them.

All threads exist from the start: operators count them, and starting one takes time just when a
disk has stalled. Few run (`mogpoll.pool.elastic`); the others are parked, last in first out,
until `mogpoll.pool.monitor` lets more run.

If the system refuses threads, the pool works with those it has and tries again each second.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from mogpoll.pool.step import Reason
from mogpoll.system.limits.cores import usable_cores
from mogpoll.threads import start_thread, try_start_thread

# Between attempts to start threads that the system refused.
_FILL_INTERVAL_S = 1.0

_Start = Callable[[Callable[[], None], str], threading.Thread | None]


class Worker:
    """The record of one thread, which alone writes it except where noted.

    **Threads:** the monitor reads `waiting` and `steps` without a lock; a stale value delays a
    decision by one sample. The gate orders the write of `dismissed` before its read.
    """

    __slots__ = ("dismissed", "gate", "reason", "steps", "thread", "waiting")

    def __init__(self) -> None:
        self.waiting = False
        self.steps = 0
        # Of the step that runs.
        self.reason = Reason.READY
        # Set by another thread before it opens the gate, if this one is to end.
        self.dismissed = False
        # Locked while the thread is parked.
        self.gate = threading.Lock()
        self.gate.acquire()
        self.thread: threading.Thread

    @property
    def native_id(self) -> int:
        return self.thread.native_id or 0


class Crew:
    """Threads that call `main` with their record once they may run; all start parked.

    `spare` of them run while nothing blocks.

    **Threads:** any. `lock` guards everything. Workers read `attention` without it after each
    step; a stale read delays the reaction by one step.
    """

    def __init__(self, name: str, spare: int, main: Callable[[Worker], None]) -> None:
        self._name = name
        self._spare = spare
        self._main = main
        self.lock = threading.Lock()
        self.workers: list[Worker] = []
        # Steps of the workers that have ended.
        self._past_steps = 0
        # All that were started, but for those that had ended by the last `resize`.
        self._threads: list[threading.Thread] = []
        self._parked: list[Worker] = []
        self._started = 0
        self._wanted = 0
        # When to try again to start missing threads.
        self._fill_at = 0.0
        # How many running workers are to park, and how many are to end.
        self._surplus = 0
        self.leaving = 0
        self.stopping = False
        # Whether any of the three above is set.
        self.attention = False

    @property
    def size(self) -> int:
        with self.lock:
            return len(self.workers) - self.leaving

    def start(self, count: int) -> None:
        """Start `count` threads, and let `spare` of them run.

        **Raises:** `ThreadRefused`; the threads already started stay.
        """
        _check_size(count)
        with self.lock:
            self._wanted = count
            for _ in range(count):
                self._enlist(start_thread)
            self._unpark(self._spare)

    def resize(self, count: int) -> bool:
        """Change the number of threads; return True if running ones are to end."""
        _check_size(count)
        with self.lock:
            if self.stopping:
                return False
            self._wanted = count
            self._threads = [each for each in self._threads if each.is_alive()]
            surplus = len(self.workers) - count
            # Parked ones first: that disturbs no task.
            while surplus > 0 and self._parked:
                self._dismiss(self._parked[-1])
                surplus -= 1
            self.leaving = max(0, surplus)
            self._notice()
            self._fill_at = 0.0
            self._fill()
            return surplus > 0

    def stop(self) -> list[threading.Thread]:
        """Ask all threads to end after their step; return the threads to join."""
        with self.lock:
            self.stopping = self.attention = True
            for worker in self._parked:
                worker.dismissed = True
            self._unpark(len(self._parked))
            return list(self._threads)

    def running(self) -> list[Worker]:
        """Return the workers that are not parked."""
        with self.lock:
            return self._not_parked()

    def census(self) -> tuple[int, int, int, int]:
        """Return how many workers wait for an event, run a step, are parked, and all steps."""
        with self.lock:
            running, parked = self._not_parked(), len(self._parked)
            steps = self._past_steps + sum(worker.steps for worker in self.workers)
        waiting = sum(worker.waiting for worker in running)
        return waiting, len(running) - waiting, parked, steps

    def change_running(self, change: int) -> None:
        """Let `change` more workers run, or fewer if negative."""
        with self.lock:
            if not self.stopping:
                self._surplus = max(0, -change)
                self._unpark(max(0, change))
                self._notice()
                self._fill()

    def start_missing(self) -> None:
        """Start threads that the system refused, at most one attempt a second."""
        with self.lock:
            self._fill()

    def park_or_leave(self, worker: Worker, resumed: object) -> bool:
        """Park this thread if too many run; return True if it is to end.

        Does neither while there are tasks in `resumed`, unless the pool stops.
        """
        with self.lock:
            if resumed and not self.stopping:
                # This thread's last step may have resumed them, and woken no other.
                return False
            if self.stopping or self.leave(worker):
                return True
            # The surplus may be stale: keep `spare` running. If those are stuck, the monitor
            # starts more.
            running = len(self.workers) - len(self._parked)
            if not self._surplus or running <= self._spare:
                return False
            self._surplus -= 1
            self._notice()
            self._parked.append(worker)
        worker.gate.acquire()
        return worker.dismissed

    def leave(self, worker: Worker) -> bool:
        """Remove this worker if one is to end, and say whether; the caller holds `lock`."""
        if not self.leaving:
            return False
        self.leaving -= 1
        self._remove(worker)
        self._notice()
        return True

    def drop(self, worker: Worker) -> None:
        """Remove a worker that ended by an error, without replacing it."""
        with self.lock:
            if worker in self.workers and not self.stopping:
                self._remove(worker)
                self._wanted -= 1

    def _fill(self) -> None:
        """Start missing threads, at most one attempt a second; the caller holds `lock`."""
        while len(self.workers) - self.leaving < self._wanted:
            now = time.monotonic()
            if self.stopping or now < self._fill_at:
                return
            if not self._enlist(try_start_thread):
                self._fill_at = now + _FILL_INTERVAL_S

    def _enlist(self, start: _Start) -> bool:
        """Start a parked thread; return False if refused. The caller holds `lock`."""
        worker = Worker()
        thread = start(partial(self._be, worker), f"{self._name}-{self._started + 1}")
        if thread is None:
            return False
        # The thread waits at its gate, so it reads this later.
        worker.thread = thread
        self._started += 1
        try:
            self._threads.append(thread)
            self.workers.append(worker)
            self._parked.append(worker)
        except MemoryError:
            self._dismiss(worker)
            return False
        return True

    def _be(self, worker: Worker) -> None:
        worker.gate.acquire()
        if not worker.dismissed:
            self._main(worker)

    def _dismiss(self, worker: Worker) -> None:
        """End a parked worker; the caller holds `lock`."""
        if worker in self.workers:
            self._remove(worker)
        if worker in self._parked:
            self._parked.remove(worker)
        worker.dismissed = True
        worker.gate.release()

    def _not_parked(self) -> list[Worker]:
        """The caller holds `lock`."""
        parked = set(map(id, self._parked))
        return [worker for worker in self.workers if id(worker) not in parked]

    def _remove(self, worker: Worker) -> None:
        """The caller holds `lock`."""
        self.workers.remove(worker)
        self._past_steps += worker.steps

    def _unpark(self, count: int) -> None:
        """Let `count` workers run, last parked first; the caller holds `lock`."""
        for _ in range(min(count, len(self._parked))):
            self._parked.pop().gate.release()

    def _notice(self) -> None:
        self.attention = bool(self.stopping or self.leaving or self._surplus)


def _check_size(count: int) -> None:
    if count < 1:
        raise ValueError(f"a pool of {count} threads: at least 1 is needed")


def default_spare() -> int:
    """Return 1 under the interpreter lock, else the number of processors that it may use."""
    locked: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
    return 1 if locked else usable_cores()
