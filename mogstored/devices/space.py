"""The room on a device, from memory: what the last look found, less what was stored since.

Other processes store files, too. So nearly full devices are looked at more often.
"""

from __future__ import annotations

import threading

from mogstored.config.values.free_space import MinFree


class Space:
    """Counts what is stored on one device, in bytes.

    **Threads:** any. `_lock` guards all of it.
    """

    __slots__ = ("_available", "_lock", "_promised", "_stored", "_total")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0
        # As of the last look; None before the first.
        self._available: int | None = None
        # Since then.
        self._stored = 0
        # What uploads that have begun have yet to store.
        self._promised = 0

    def begin_look(self) -> int:
        """Return what `end_look` must be given: what it is certain that the look will find."""
        with self._lock:
            return self._stored

    def end_look(self, available: int, total: int, found: int) -> None:
        """Note what a look found. What was stored meanwhile counts twice, until the next one."""
        with self._lock:
            self._available, self._total = available, total
            self._stored -= found

    def take(self, size: int, min_free: MinFree) -> int | None:
        """Count `size` bytes as stored, if as much as `min_free` stays free.

        Return the room beyond that and them; if it is negative, they were not counted. None if
        the room is not known: before the first look.
        """
        with self._lock:
            room = self._room(size, min_free)
            if room is None or room >= 0:
                self._stored += size
            return room

    def promise(self, size: int, min_free: MinFree) -> int | None:
        """As `take`, for bytes that are on their way."""
        with self._lock:
            room = self._room(size, min_free)
            if room is None or room >= 0:
                self._promised += size
            return room

    def keep(self, size: int) -> None:
        """Count promised bytes as stored."""
        with self._lock:
            self._promised -= size
            self._stored += size

    def release(self, size: int) -> None:
        """Count promised bytes no more: they will not come."""
        with self._lock:
            self._promised -= size

    def available(self) -> int:
        """Return what is left of what the last look found."""
        with self._lock:
            return (self._available or 0) - self._stored

    def _room(self, size: int, min_free: MinFree) -> int | None:
        """Return the room behind `size` bytes; the caller holds the lock."""
        if self._available is None:
            return None
        used = self._stored + self._promised + size
        return self._available - used - min_free.of(self._total)
