"""Digests of whole files, a slice at a time, and the line of those that must take turns.

A checker of all files would otherwise keep every head of a disk moving. So of the digests
that say they are for checking, one at a time reads from a file system, and it reads to its
end; what the node's users wait for goes slice by slice beside it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

# What is read in one turn. Others are served between two of them.
SLICE_SIZE = 8 * 1024 * 1024


class FileDigest:
    """The digest of an open file, as far as it was read; owns the descriptor."""

    def __init__(self, fd: int, hash_name: str) -> None:
        self._fd = fd
        self._hash = hashlib.new(hash_name, usedforsecurity=False)
        self.offset = 0
        for advice in ("POSIX_FADV_NOREUSE", "POSIX_FADV_SEQUENTIAL"):
            _advise(fd, advice)

    def read_slice(self, buffer: memoryview) -> bool:
        """Read one slice, by blocks of the size of `buffer`; True at the end of the file.

        **Raises:** `OSError` of the read at `offset`.
        """
        end = self.offset + SLICE_SIZE
        while self.offset < end:
            size = os.readv(self._fd, [buffer])
            if not size:
                return True
            self._hash.update(buffer[:size])
            self.offset += size
        return False

    def hexdigest(self) -> str:
        """Return the digest of what was read so far."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def digest_of(content: bytes, hash_name: str) -> str:
    """Return the digest of what is in memory already."""
    return hashlib.new(hash_name, content, usedforsecurity=False).hexdigest()


# Given the task whose turn it is.
Resume = Callable[[Any], None]


class FsckLines:
    """One line of waiting tasks for each file system, first come, first served.

    **Threads:** any. `_lock` guards the lines; it is held for a few instructions only.
    """

    def __init__(self, resume: Resume) -> None:
        self._resume = resume
        self._lock = threading.Lock()
        # File system -> who waits for it; there is a line while somebody has the turn.
        self._lines: dict[int, deque[object]] = {}
        self._is_open = False

    def enter(self, file_system: int, task: object) -> bool:
        """Take the turn of a file system, or park `task` in its line; False says parked.

        A parked task belongs to the line from here on: its owner must not touch it again
        and returns PARKED at once. When it is resumed, the turn is its own.
        """
        with self._lock:
            if self._is_open:
                return True
            line = self._lines.get(file_system)
            if line is None:
                self._lines[file_system] = deque()
                return True
            line.append(task)
            return False

    def leave(self, file_system: int) -> None:
        """Pass the turn on to the first in the line."""
        with self._lock:
            line = self._lines.get(file_system)
            if line is None:
                return
            if not line:
                del self._lines[file_system]
                return
            task = line.popleft()
        self._resume(task)

    def open(self) -> None:
        """Let everybody through, now and from now on: the node wants to stop."""
        with self._lock:
            self._is_open = True
            waiting = [task for line in self._lines.values() for task in line]
            self._lines.clear()
        for task in waiting:
            self._resume(task)


def _advise(fd: int, advice: str) -> None:
    """Tell the kernel how the whole file is going to be read, where it can be told."""
    if not hasattr(os, "posix_fadvise"):
        return
    try:
        os.posix_fadvise(fd, 0, 0, getattr(os, advice))
    except OSError:
        # A file system that takes no advice.
        return
