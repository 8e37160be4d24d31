"""When so many bytes may have been read."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

MIB = 1024 * 1024


class Pace:
    """At most so many MiB in a second; time that was not used is not made up for.

    **Threads:** for one.
    """

    def __init__(self, mib_per_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._bytes_per_s = mib_per_s * MIB
        self._clock = clock
        self._due_at = clock()

    def delay_s(self, size: int) -> float:
        """Return how long to rest after reading `size` bytes."""
        now = self._clock()
        self._due_at = max(self._due_at, now - 1.0 / 16) + size / self._bytes_per_s
        return max(0.0, self._due_at - now)
