"""Jobs that may hang, on few threads: one job a key, and more threads only while some hang.

One thread does for any number of healthy disks: a job is some system calls, and threads
that take turns under the interpreter lock are slower together than one alone. Whoever
waits for jobs looks in from time to time (`look`), and when little happens while jobs
wait, adds a thread. A job that hangs keeps its thread for good, and is not counted among
those that work; threads that find nothing to do end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mogpoll.stopping import signals_blocked

_log = logging.getLogger("mogstored")

# How often those who wait should look, and what is little within that time: a thread does
# some hundred jobs on healthy disks.
LOOK_INTERVAL_S = 0.05
_LITTLE = 2
# A job that runs for longer hangs, as far as the number of threads is concerned.
_HANGING_S = 1.0
# Threads that work, and threads that hang.
_MAX_WORKING = 8
_MAX_HANGING = 100

Key = TypeVar("Key", bound=Hashable)


class KeyedJobs(Generic[Key]):
    """Threads that run jobs, never two of one key at a time.

    `finished` is called with the key of each job that has ended, by its thread.

    **Threads:** any. `_lock` guards everything.
    """

    def __init__(self, name: str, finished: Callable[[Key], None]) -> None:
        self._name = name
        self._finished = finished
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Key] = deque()
        self._calls: dict[Key, Callable[[], None]] = {}
        self._running: dict[Key, float] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._stopped = False
        self._complained = False
        self._ended = 0
        self._ended_at_look = 0
        self._looked_at = 0.0

    def submit(self, key: Key, call: Callable[[], None]) -> None:
        """Run `call` soon, unless a job of `key` waits or runs."""
        with self._changed:
            if self._stopped or key in self._calls or key in self._running:
                return
            self._calls[key] = call
            self._queue.append(key)
            if self._idle:
                self._changed.notify()
            elif not self._threads:
                self._start_thread()

    def running(self) -> dict[Key, float]:
        """Return for how many seconds each job has been running."""
        with self._lock:
            now = time.monotonic()
            return {key: now - began for key, began in self._running.items()}

    def look(self) -> None:
        """Add a thread if the jobs that wait would wait long."""
        with self._lock:
            now = time.monotonic()
            if self._stopped or now - self._looked_at < LOOK_INTERVAL_S / 2:
                return
            ended = self._ended - self._ended_at_look
            self._looked_at, self._ended_at_look = now, self._ended
            hanging = sum(now - began > _HANGING_S for began in self._running.values())
            working = len(self._threads) - hanging
            if (
                self._queue
                and not self._idle
                and ended < _LITTLE * max(1, working)
                and working < _MAX_WORKING
                and hanging < _MAX_HANGING
            ):
                self._start_thread()

    def stop(self, timeout_s: float) -> None:
        """End the threads that end in time; hanging ones are left to their fate."""
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._calls.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def size(self) -> int:
        """The number of threads."""
        with self._lock:
            return len(self._threads)

    def _start_thread(self) -> None:
        """Start one, if the system has one to spare; the caller holds `_lock`.

        If not, the jobs wait until somebody looks again.
        """
        thread = threading.Thread(target=self._main, name=self._name, daemon=True)
        try:
            with signals_blocked():
                thread.start()
        except RuntimeError as error:
            if not self._complained:
                _log.error("no thread for %s: %s", self._name, error)
            self._complained = True
            return
        self._complained = False
        # It waits for the lock, should it have come so far.
        self._threads.add(thread)

    def _main(self) -> None:
        while (job := self._take()) is not None:
            key, call = job
            try:
                call()
            except Exception:
                _log.exception("the job of %s failed", key)
            with self._lock:
                del self._running[key]
                self._ended += 1
            self._finished(key)

    def _take(self) -> tuple[Key, Callable[[], None]] | None:
        """Return the next job, or None when this thread should end."""
        with self._changed:
            while not self._queue:
                # One may wait for what comes; more would only stand about.
                if self._stopped or self._idle:
                    self._threads.discard(threading.current_thread())
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            key = self._queue.popleft()
            self._running[key] = time.monotonic()
            return key, self._calls.pop(key)
