"""Find out whether the worker threads make progress.

A keep-alive to the service manager proves nothing if a thread sends it that does none of the work.
So a task travels through the pool's queue like any other: when it has been stepped, others are
stepped too. Hung disks do not stop it, because each blocks only its own threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mogpoll import Next
from mogstored.log.rate_limit import RateLimiter


class Heartbeat:
    """A task without a descriptor that circulates through a pool.

    `interval_s` is the time between keep-alives; None if no service manager wants them.

    **Threads:** `beat` and `is_due` from the main one; `_stepped` is written in turns, never at
    the same time.
    """

    def __init__(self, resume: Callable[[Any], None], interval_s: float | None = None) -> None:
        self._resume = resume
        self._limiter = None if interval_s is None else RateLimiter(interval_s)
        self._stepped = True

    def is_due(self) -> bool:
        """Return True once per interval, if the pool has stepped since the last time."""
        return self._limiter is not None and self._limiter.is_due() and self.beat()

    def beat(self) -> bool:
        """Return whether the pool has stepped since the last beat, and start the next."""
        if not self._stepped:
            return False
        self._stepped = False
        self._resume(self)
        return True

    def fileno(self) -> int:
        return -1

    def step(self, _buffers: object) -> Next:
        self._stepped = True
        return Next.PARKED

    def close(self) -> None:
        pass
