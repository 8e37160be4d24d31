"""Digests of whole files, a slice at a time, and the queue for checks of all files.

Many digests at once would keep the heads of a disk moving. So of those that are asked for by a
check (fsck), one at a time reads from a file system, to the end of its file. All digests go
slice by slice, and requests of clients get in between.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from mogstored.files.docroot import close_read

# Bytes that are read in one turn at most. Other requests are served between two turns.
SLICE_SIZE = 8 * 1024 * 1024


class FileDigest:
    """The digest of an open file, as far as it is read; owns the descriptor."""

    def __init__(self, fd: int, hash_name: str) -> None:
        self._fd = fd
        self._hash = hashlib.new(hash_name, usedforsecurity=False)
        self.offset = 0
        for advice in ("POSIX_FADV_NOREUSE", "POSIX_FADV_SEQUENTIAL"):
            _advise(fd, advice)

    def read_slice(
        self, buffer: memoryview, turn_s: float, is_wanted: Callable[[], bool] = lambda: False
    ) -> bool:
        """Read one slice, in blocks of the size of `buffer`; True at the end of the file.

        The slice ends early after the first block that finds `turn_s` over, or the device
        wanted by others.

        **Raises:** `OSError` of the read at `offset`.
        """
        end, until = self.offset + SLICE_SIZE, monotonic() + turn_s
        while self.offset < end:
            size = os.readv(self._fd, [buffer])
            if not size:
                return True
            self._hash.update(buffer[:size])
            self.offset += size
            if is_wanted() or monotonic() >= until:
                break
        return False

    def hexdigest(self) -> str:
        """Return the digest of the bytes read so far."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close_read(fd)


def digest_of(content: bytes, hash_name: str) -> str:
    """Return the digest of bytes in memory."""
    return hashlib.new(hash_name, content, usedforsecurity=False).hexdigest()


# Given the task whose turn it is.
Resume = Callable[[Any], None]


class FsckQueue:
    """A queue of tasks for each file system; the task that has its turn reads alone.

    **Threads:** any. `_lock` guards the queues; it is held for a few instructions only.
    """

    def __init__(self, resume: Resume) -> None:
        self._resume = resume
        self._lock = threading.Lock()
        # By file system; there is a queue while a task has the turn.
        self._waiting: dict[int, deque[object]] = {}
        self._is_open = False

    def enter(self, file_system: int, task: object) -> bool:
        """Take the turn of a file system, or park `task`; False says that it is parked.

        A parked task belongs to the queue from here on: its owner must not touch it again
        and returns PARKED at once. When it is resumed, it has the turn.
        """
        with self._lock:
            if self._is_open:
                return True
            waiting = self._waiting.get(file_system)
            if waiting is None:
                self._waiting[file_system] = deque()
                return True
            waiting.append(task)
            return False

    def leave(self, file_system: int) -> None:
        """Pass the turn on to the task that has waited longest."""
        with self._lock:
            waiting = self._waiting.get(file_system)
            if waiting is None:
                return
            if not waiting:
                del self._waiting[file_system]
                return
            task = waiting.popleft()
        self._resume(task)

    def open(self) -> None:
        """Resume all tasks, and park none from now on: the node stops."""
        with self._lock:
            self._is_open = True
            tasks = [task for waiting in self._waiting.values() for task in waiting]
            self._waiting.clear()
        for task in tasks:
            self._resume(task)


def _advise(fd: int, advice: str) -> None:
    """Say to the kernel how the whole file will be read, where there is a call for that."""
    if not hasattr(os, "posix_fadvise"):
        return
    try:
        os.posix_fadvise(fd, 0, 0, getattr(os, advice))
    except OSError:
        # The file system takes no advice.
        return
