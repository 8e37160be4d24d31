"""Files that were read lately: the content of short ones, and when it is still right.

Opening and closing a small file costs more than reading it. Keeping its descriptor instead
would keep the file system busy: `umount` fails with EBUSY while any file on it is open. So
nothing stays open between two requests. The content is kept, and `stat` of the path says before
each use whether it is the file's: another file at the path has another inode number or another
file system, and a change of the file, by any process, changes its status-change time (ctime).
That holds for a directory that is renamed and a device that is mounted over as well.

The kernel's clock for these times ticks in milliseconds, or in seconds where the file system or
its mount (FreeBSD's vfs.timestamp_precision) stores no less. A file that changed just before it
was read may change again within the tick, and is not kept. A write that the kernel throttles
stores its data later than its time, and NFS may report an old time for some seconds: so nothing
is served from here for longer than `KEPT_S` after it was read.

Of a long file only the fact that it was read is kept; so it is with one of middle length until
it is read a second time: for a single reader sendfile is faster.
"""

from __future__ import annotations

import os
import threading
from time import monotonic, time_ns

# Seconds. Reading a file again this often costs nothing measurable.
KEPT_S = 5.0
# Bytes. A longer file costs less by sendfile, though it must be opened.
MAX_CONTENT = 64 * 1024
# What all of a node may keep, and a process at least.
_SIZE = 16 * 1024 * 1024
_LEAST_SIZE = 1024 * 1024
# What an entry takes beside its content, in bytes.
_OVERHEAD = 512

# More than a tick of any kernel's clock.
_SETTLED_NS = 100_000_000
_SECOND_NS = 1_000_000_000


def size_in_each(processes: int) -> int:
    """Return how many bytes each of so many processes may keep."""
    return max(_LEAST_SIZE, _SIZE // max(1, processes))


class RecentFile:
    """A file as a path showed it when it was read; `content` is None unless it is kept.

    Without slots, as `mogstored.service.Service` is: threads share it.
    """

    def __init__(self, status: os.stat_result, content: bytes | None) -> None:
        self._identity = status.st_dev, status.st_ino, status.st_ctime_ns
        self.content = content
        # The fields behind Date in a 200 on a kept connection; made when first needed.
        self.head_rest = b""
        # On the monotonic clock.
        self.until = monotonic() + KEPT_S

    def is_of(self, status: os.stat_result) -> bool:
        """Say whether `status`, as the path shows it now, is that of the same file, unchanged."""
        return (status.st_dev, status.st_ino, status.st_ctime_ns) == self._identity

    def retire(self) -> None:
        """Give its memory back, though a request that is kept refers to it."""
        self.until, self.content = 0.0, None


def is_settled(status: os.stat_result) -> bool:
    """Say whether any later change of the file will show in its status.

    Call it between `fstat` and the read: the read sees every change before it.
    """
    changed_ns = status.st_ctime_ns
    # A whole second is a truncated time, but for one in a million.
    settled_ns = _SETTLED_NS if changed_ns % _SECOND_NS else _SECOND_NS + _SETTLED_NS
    return time_ns() - changed_ns > settled_ns


class RecentFiles:
    """Files by their path, in `limit` bytes of memory.

    **Threads:** any. `_lock` guards `keep`; `get` needs none. A file does not change while it is
    in, except for `head_rest`, which every thread fills with the same bytes. It retires at any
    moment, and has no content from then on.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._lock = threading.Lock()
        self._files: dict[bytes, RecentFile] = {}
        # Returns the file of a path, or None.
        self.get = self._files.get

    def keep(self, path: bytes, file: RecentFile) -> None:
        """Keep `file` in place of the one kept for `path`."""
        size = _OVERHEAD + len(file.content or b"")
        retired: list[RecentFile] = []
        with self._lock:
            before = self._files.pop(path, None)
            if before is not None:
                self._size -= _OVERHEAD + len(before.content or b"")
                before.retire()
            if self._size + size > self._limit:
                # Nothing says which of them will be read again.
                retired = [*self._files.values()]
                self._files.clear()
                self._size = 0
            self._files[path] = file
            self._size += size
        for each in retired:
            each.retire()
