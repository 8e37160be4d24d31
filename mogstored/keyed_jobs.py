"""Jobs that may hang, on few threads: one job a key, and more threads only while some hang.

One thread does for any number of healthy disks: a job is some system calls, and threads
that take turns under the interpreter lock are slower together than one alone. A caller that
waits for jobs calls `look` from time to time, which adds a thread when little happens while
jobs wait. A job that hangs keeps its thread for good, and that thread does not count among the
working ones. Threads that find nothing to do end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from mogpoll.threads import log_exception, start_thread, try_start_thread

_log = logging.getLogger("mogstored")

# How often to look, and how many jobs a thread that is not slow does in that time at least; on
# healthy disks it does some hundred.
LOOK_INTERVAL_S = 0.05
_LITTLE = 2
# Threads that work, and threads whose job hangs.
_MAX_WORKING = 16
_MAX_HUNG = 100

Key = TypeVar("Key", bound=Hashable)


class KeyedJobs(Generic[Key]):
    """Threads that run jobs, never two of one key at a time.

    `finished` is called with the key of each job that has ended, by its thread. `is_hung` says
    of a job whether it hangs, given when it began and the time, on the monotonic clock.

    **Threads:** any. `_lock` guards everything.
    """

    def __init__(
        self,
        name: str,
        finished: Callable[[Key], None],
        is_hung: Callable[[float, float], bool],
    ) -> None:
        self._name = name
        self._is_hung = is_hung
        self._finished = finished
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: deque[Key] = deque()
        self._calls: dict[Key, Callable[[], None]] = {}
        self._running: dict[Key, float] = {}
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._stopped = False
        self._ended = 0
        self._ended_at_look = 0
        self._looked_at = 0.0

    def start(self) -> None:
        """Start the one thread that stays.

        **Raises:** `ThreadRefused`.
        """
        with self._lock:
            if not self._threads:
                self._threads.add(start_thread(self._main, self._name, lasting=True))

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

    def hung(self) -> set[Key]:
        """Return the keys of the jobs that hang."""
        with self._lock:
            now = time.monotonic()
            return {key for key, began in self._running.items() if self._is_hung(began, now)}

    def look(self) -> None:
        """Add a thread if the jobs that wait would wait long."""
        hung = len(self.hung())
        with self._lock:
            now = time.monotonic()
            if self._stopped or now - self._looked_at < LOOK_INTERVAL_S / 2:
                return
            ended = self._ended - self._ended_at_look
            self._looked_at, self._ended_at_look = now, self._ended
            working = len(self._threads) - hung
            if (
                self._queue
                and not self._idle
                and ended < _LITTLE * max(1, working)
                and working < _MAX_WORKING
                and hung < _MAX_HUNG
            ):
                self._start_thread()

    def stop(self, timeout_s: float) -> None:
        """End the threads; return without the ones that have not ended in time."""
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
        """Start one, unless the system refuses; then the jobs wait for the next look.

        The caller holds `_lock`.
        """
        thread = try_start_thread(self._main, self._name, lasting=True)
        if thread is not None:
            # It may run already, and then waits for the lock.
            self._threads.add(thread)

    def _main(self) -> None:
        while (job := self._take()) is not None:
            key, call = job
            try:
                call()
            except Exception:
                log_exception("the job of %s failed", key)
            with self._lock:
                del self._running[key]
                self._ended += 1
            self._finished(key)

    def _take(self) -> tuple[Key, Callable[[], None]] | None:
        """Return the next job, or None when this thread should end."""
        with self._changed:
            while not self._queue:
                # One may wait for what comes; more would be of no use.
                if self._stopped or self._idle:
                    self._threads.discard(threading.current_thread())
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            key = self._queue[0]
            # First the line that may find no memory: the job stays in the queue then.
            self._running[key] = time.monotonic()
            self._queue.popleft()
            return key, self._calls.pop(key)
