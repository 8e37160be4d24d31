"""Close files for those who must not wait for a disk: each device's by a job of its own.

Closing can hang, as everything can that touches a disk (NFS, FUSE). What is handed over
here is closed soon, or when its device answers again; it delays no file of another device,
and nobody who hands over.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from functools import partial

from mogstored.storage.jobs import LOOK_INTERVAL_S, KeyedJobs


class Closers:
    """Descriptors that are to be closed, by device.

    **Threads:** any. `_lock` guards everything, and is not held while anything is closed.
    """

    def __init__(self) -> None:
        self._jobs: KeyedJobs[bytes] = KeyedJobs("closing", self._note_finished)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._left: dict[bytes, deque[int]] = {}
        self._added = 0
        self._closed = 0

    def close_soon(self, device: bytes, fds: Iterable[int]) -> None:
        """Take over `fds`, files of `device`, and close them."""
        with self._lock:
            left = self._left.setdefault(device, deque())
            before = len(left)
            left.extend(fds)
            self._added += len(left) - before
        self._jobs.submit(device, partial(self._close, device))

    def attend(self, timeout_s: float, stop: threading.Event | None = None) -> None:
        """See to it that devices that hang do not keep the others waiting.

        Return when everything is closed, after the time, or soon after `stop` is set. Whoever
        hands over calls this, or has another thread call it.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self._changed:
                rest_s = min(LOOK_INTERVAL_S, max(0.0, deadline - time.monotonic()))
                if self._changed.wait_for(lambda: self._closed == self._added, rest_s):
                    return
            self._jobs.look()
            if time.monotonic() >= deadline or (stop is not None and stop.is_set()):
                return

    @property
    def closed(self) -> int:
        """The number of files that were closed so far."""
        with self._lock:
            return self._closed

    def stop(self, timeout_s: float) -> None:
        """Close what can be closed in time, and end the threads that do not hang."""
        deadline = time.monotonic() + timeout_s
        self.attend(timeout_s)
        self._jobs.stop(max(0.0, deadline - time.monotonic()))

    def _close(self, device: bytes) -> None:
        while True:
            with self._lock:
                left = self._left.get(device)
                if not left:
                    return
                fd = left.popleft()
            # A file that was read: an error of its disk now means nothing to anybody.
            with contextlib.suppress(OSError):
                os.close(fd)
            with self._changed:
                self._closed += 1
                self._changed.notify_all()

    def _note_finished(self, device: bytes) -> None:
        with self._lock:
            left = self._left.get(device)
            if not left:
                self._left.pop(device, None)
        if left:
            # It came when the job was about to end.
            self._jobs.submit(device, partial(self._close, device))
