"""What is on the disk before a client is answered: nothing, the file, or its name as well.

- `none`: the answer comes when the system has the bytes; it writes them within seconds.
- `data`: the file is synced before it gets its name, so that no name shows half a file.
- `full`: and then every directory that got or lost an entry. An acknowledged PUT or DELETE
  survives a power cut.

A failed sync is reported once; the next one succeeds though the bytes are lost. So none is
repeated, and the file is given up.
Source: https://wiki.postgresql.org/wiki/Fsync_Errors
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import threading
from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not on every system.
_sync_data = getattr(os, "fdatasync", os.fsync)

# A device has up to a million directories; their names are small.
_MAX_KNOWN = 100_000
# Large uploads: the system begins to write so many bytes, so that the last sync is short.
WRITE_BACK = 8 * 1024 * 1024
# linux/fs.h
_SYNC_FILE_RANGE_WRITE = 2


class Syncs:
    """The syncs of a docroot at one level.

    **Threads:** any. `_lock` guards `_known` and `_shared`.
    """

    def __init__(self, dir_fd: int, level: str = "none") -> None:
        self.dir_fd = dir_fd
        """Of the docroot."""
        self.files = level != "none"
        """Whether files are synced before they get their names."""
        self.names = level == "full"
        """Whether the directories are synced that hold the names."""
        self._lock = threading.Lock()
        self._known: set[bytes] = set()
        self._shared: dict[bytes, _SharedSync] = {}

    def sync_file(self, fd: int) -> None:
        """Return when the content of the file is on the disk."""
        if self.names:
            # With its attributes.
            os.fsync(fd)
        else:
            _sync_data(fd)

    def begin_write_back(self, fd: int, offset: int, count: int) -> None:
        """Have the system write these bytes soon, where it can be asked to; does not wait."""
        if self.files and (call := _find_sync_file_range()) is not None:
            call(fd, offset, count, _SYNC_FILE_RANGE_WRITE)

    def sync_name(self, path: bytes) -> None:
        """Return when the name is on the disk, or its removal, and all directories above it.

        A directory may have been made a moment ago, by another worker that has not synced it yet,
        or before a crash. So the way down to one is synced when it is met first.
        """
        directory = path.rpartition(b"/")[0] or b"."
        if directory not in self._known:
            parts = directory.split(b"/")
            for depth in range(1, len(parts)):
                self._sync_directory(b"/".join(parts[:depth]))
            with self._lock:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known.add(directory)
        self._sync_directory(directory)

    def forget(self, directory: bytes) -> None:
        """Note that the directory is made anew."""
        with self._lock:
            self._known.discard(directory)

    def _sync_directory(self, directory: bytes) -> None:
        """Sync it, in one call for all that wait for the same directory.

        A call under way does not count: it may have begun before the name was there.
        """
        with self._lock:
            shared = self._shared.setdefault(directory, _SharedSync())
            shared.users += 1
            needed = shared.begun + 1
        try:
            with shared.turn:
                if shared.begun < needed:
                    with self._lock:
                        shared.begun += 1
                    shared.error = self._fsync(directory)
                if shared.error is not None:
                    raise OSError(shared.error, os.strerror(shared.error))
        finally:
            with self._lock:
                shared.users -= 1
                if not shared.users:
                    del self._shared[directory]

    def _fsync(self, directory: bytes) -> int | None:
        """Sync now; return the errno if that fails."""
        try:
            fd = os.open(directory, _DIRECTORY, dir_fd=self.dir_fd)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            return error.errno or errno.EIO
        return None


class _SharedSync:
    """The syncs of one directory, one after the other.

    **Threads:** `turn` is held for a call and guards `error`; the lock of `Syncs`, the rest.
    """

    __slots__ = ("begun", "error", "turn", "users")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.users = 0
        self.begun = 0
        self.error: int | None = None


@functools.cache
def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Return sync_file_range(2), or None: it is Linux's own."""
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call
