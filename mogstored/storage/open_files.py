"""Keep the descriptors of files that are read often, and never serve a file that is gone.

Opening and closing a small file costs more than reading it. So a file that was read stays
open for a while, under its path. Whoever reads it takes it out of the table and is its
only owner until it is given back; so no lock is held while it is read, and nobody can close
it meanwhile. A second reader at the same time opens the file for itself.

What makes this safe is `fstat`, which every reader calls anyway. A file whose last name was
removed or renamed over has a link count of 0, whichever process did it, and that count is
right as soon as the system call that did it has returned. Names that are added, or removed
while others remain, change the time of the last status change. A file is served from here
only if it has one name and that time is the one it had when it was opened. The clock behind
it ticks in milliseconds, or in seconds where the file system or its mount (FreeBSD's
vfs.timestamp_precision) knows no less, so a file that changed just before it was opened is
not kept.

What fstat cannot tell is that the way to the file is another one by now: a directory was
renamed, a device mounted over. And an open descriptor keeps a deleted file's blocks, and
keeps its file system from being unmounted. So a file stays open for a few seconds only,
however often it is read; a DELETE or PUT through this process drops its path at once; and
under pressure everything is closed.

Closing can hang (see `closers`), so nobody closes a file of another device than the one he
works on. Who finds the table full closes what he has read: what is in there stays, for those
few seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable
from time import monotonic, time_ns

from mogpoll.stopping import signals_blocked
from mogstored.storage.closers import Closers
from mogstored.storage.device import device_name

# A file is closed after this time at least, and twice this time at most. Opening it again
# then costs nothing that could be measured.
KEPT_S = 5.0

# More than a tick of any kernel's clock.
_SETTLED_NS = 100_000_000
_SECOND_NS = 1_000_000_000

# Who is out of descriptors waits for this long until files are closed; the stop, for that.
_PRESSURE_S = 0.1
_STOP_S = 1.0


class OpenFile:
    """An open regular file, and the head that goes with it while it does not change."""

    __slots__ = ("ctime_ns", "fd", "head_rest", "period", "size")

    def __init__(self, fd: int, status: os.stat_result) -> None:
        self.fd = fd
        self.size = status.st_size
        self.ctime_ns = status.st_ctime_ns
        # The fields behind Date of a 200 on a kept connection; made when first needed.
        self.head_rest = b""
        # In which of the table's periods it was first given.
        self.period = 0


def may_be_kept(status: os.stat_result) -> bool:
    """Say whether the status of this file will tell when it is gone."""
    changed_ns = status.st_ctime_ns
    # A whole second is a time that was cut, or one in a million that was not.
    settled_ns = _SETTLED_NS if changed_ns % _SECOND_NS else _SECOND_NS + _SETTLED_NS
    return status.st_nlink == 1 and time_ns() - changed_ns > settled_ns


class OpenFiles:
    """At most `limit` open files by their path, each for `kept_s` seconds or twice that.

    **Threads:** any. `_files` is touched by single dict operations; taking a file out is
    the claim to it. `_lock` guards the start of the thread that looks for old ones, which
    alone counts the periods. Who gives or drops a file has a slot of its device.
    """

    def __init__(self, limit: int, kept_s: float = KEPT_S) -> None:
        self._limit = limit
        self._kept_s = kept_s
        self._files: dict[bytes, OpenFile] = {}
        self._period = 1
        # Takes a file out for its reader, or None.
        self.take = self._files.pop
        self._lock = threading.Lock()
        self._sweeper: threading.Thread | None = None
        self._closers = Closers()
        self._stop = threading.Event()

    def give(self, path: bytes, file: OpenFile) -> None:
        """Put a file back, or in; its reader must not use it any more."""
        files = self._files
        is_old = file.period != self._period and not self._is_young(file)
        if is_old or len(files) >= self._limit or files.setdefault(path, file) is not file:
            os.close(file.fd)
        elif self._sweeper is None:
            self._start_sweeper()

    def drop(self, path: bytes) -> None:
        """Close the file of this path, whose name shows another file or none from now on."""
        file = self._files.pop(path, None)
        if file is not None:
            os.close(file.fd)

    def drop_all(self) -> int:
        """Close every file that nobody reads now.

        Return how many were closed within a moment; those of a disk that hangs are not.
        """
        before = self._closers.closed
        if self._take_out(lambda _: True):
            self._closers.attend(_PRESSURE_S)
        return self._closers.closed - before

    def close(self) -> None:
        """End the thread and close all files, but for those of disks that hang."""
        self._limit = 0
        self._stop.set()
        with self._lock:
            sweeper = self._sweeper
        if sweeper is not None:
            sweeper.join()
        self._take_out(lambda _: True)
        self._closers.stop(_STOP_S)

    def _take_out(self, is_due: Callable[[OpenFile], bool]) -> bool:
        """Have the files that are due closed; False if there are none."""
        due: defaultdict[bytes, list[int]] = defaultdict(list)
        for path, seen in self._files.copy().items():
            # It may be a younger one by now, and goes as well.
            if is_due(seen) and (file := self._files.pop(path, None)) is not None:
                due[device_name(path)].append(file.fd)
        for device, fds in due.items():
            self._closers.close_soon(device, fds)
        return bool(due)

    def _start_sweeper(self) -> None:
        with self._lock:
            if self._sweeper is None and not self._stop.is_set():
                sweeper = threading.Thread(target=self._sweep, name="open-files", daemon=True)
                # Without a thread to spare there is none; the next file that is given tries again.
                with contextlib.suppress(RuntimeError), signals_blocked():
                    sweeper.start()
                    self._sweeper = sweeper

    def _sweep(self) -> None:
        began = monotonic()
        while not self._stop.wait(max(0.0, self._kept_s - (monotonic() - began))):
            began = monotonic()
            self._period += 1
            self._take_out(lambda seen: not self._is_young(seen))
            self._closers.attend(self._kept_s, self._stop)

    def _is_young(self, file: OpenFile) -> bool:
        if not file.period:
            file.period = self._period
        return self._period - file.period <= 1
