"""A few bytes that outlive the process that writes them: an admin process leaves its sums there.

They are in memory that is shared with the processes forked later. Of the two places a record can
have, one always holds a whole one: a writer that is killed at any byte leaves the record before.
"""

from __future__ import annotations

import mmap
import struct
import zlib

_HEAD = struct.Struct("!II")
# Five times what 500 devices need; memory is taken by what is written.
_MAX_BYTES = 4 * 1024 * 1024


class SharedRecord:
    """Created before the processes that use it are forked; at most one of them at a time does.

    **Raises:** `OSError` if there is no memory.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._places = (1, 1 + _HEAD.size + max_bytes)
        # Byte 0 says which place holds the record.
        self._map = mmap.mmap(-1, self._places[1] + _HEAD.size + max_bytes)

    def save(self, data: bytes) -> None:
        """Replace the record; one that is too large is not kept, and the one before stays."""
        if len(data) > self._max_bytes:
            return
        other = 1 - self._map[0]
        place = self._places[other]
        end = place + _HEAD.size
        self._map[place:end] = _HEAD.pack(len(data), zlib.crc32(data))
        self._map[end : end + len(data)] = data
        self._map[0] = other

    def load(self) -> bytes:
        """Return the record; empty if none was saved."""
        place = self._places[self._map[0]]
        size, checksum = _HEAD.unpack_from(self._map, place)
        data = self._map[place + _HEAD.size : place + _HEAD.size + size]
        return data if zlib.crc32(data) == checksum else b""
