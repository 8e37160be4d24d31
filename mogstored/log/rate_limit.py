"""Rate limits for log lines and other effects that a client can cause at will."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from time import monotonic
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


def more(skipped: int, of: str = "") -> str:
    """Return the end of a line before which so many others of its kind were left out."""
    return f"; {skipped} more{of} since the last such line" if skipped else ""


class RateLimiter:
    """Permits one event per interval.

    **Threads:** any. `_lock` guards `_due_at`.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._due_at = 0.0

    def is_due(self) -> bool:
        """Return True if the interval has passed since the last time it did."""
        now = monotonic()
        with self._lock:
            if now < self._due_at:
                return False
            self._due_at = now + self._interval_s
            return True


class KeyedRateLimiter(Generic[Key]):
    """Permits one event per key and interval; counts the others.

    **Threads:** any. `_lock` guards the table, which is emptied when it has `max_keys`.
    """

    def __init__(self, interval_s: float, max_keys: int = 1024) -> None:
        self._interval_s = interval_s
        self._max_keys = max_keys
        self._lock = threading.Lock()
        # For each key, the time of the next event and the number skipped before.
        self._seen: dict[Key, tuple[float, int]] = {}

    def skipped(self, key: Key) -> int | None:
        """Return the number of events skipped since the last one, or None to skip this one."""
        now = monotonic()
        with self._lock:
            due_at, skipped = self._seen.get(key, (now, 0))
            if now < due_at:
                self._seen[key] = due_at, skipped + 1
                return None
            if len(self._seen) >= self._max_keys:
                self._seen.clear()
            self._seen[key] = now + self._interval_s, 0
            return skipped

    def overdue(self) -> list[tuple[Key, int]]:
        """Return the keys, with their numbers, that had skipped events when they were due again.

        The events count as reported then, and the next interval begins.
        """
        now = monotonic()
        with self._lock:
            found = [
                (key, skipped)
                for key, (due_at, skipped) in self._seen.items()
                if skipped and due_at <= now
            ]
            for key, _ in found:
                self._seen[key] = now + self._interval_s, 0
            return found


class BurstLimiter:
    """A token bucket: permits `burst` events at once, then one per interval; counts the others.

    **Threads:** any. `_lock` guards `_full_at` and `_skipped`.
    """

    def __init__(self, burst: int, interval_s: float) -> None:
        self._burst_s = burst * interval_s
        self._interval_s = interval_s
        self._lock = threading.Lock()
        # When the bucket will be full again.
        self._full_at = 0.0
        self._skipped = 0

    def skipped(self) -> int | None:
        """Return the number of events skipped since the last one, or None to skip this one."""
        now = monotonic()
        with self._lock:
            full_at = max(now, self._full_at) + self._interval_s
            if full_at > now + self._burst_s:
                self._skipped += 1
                return None
            self._full_at = full_at
            skipped, self._skipped = self._skipped, 0
            return skipped
