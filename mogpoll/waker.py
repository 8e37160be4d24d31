"""Wake threads that wait on a poller, from any thread or signal handler.

A waker is a descriptor that becomes readable:

- A `Waker` is drained by the thread that receives it, so one or more calls of `wake` wake one
  thread.
- A `BouncingWaker` is not drained. The receiver re-arms it and leaves; still readable, it wakes
  the next thread, until the last has left (n26). A thread that was not waiting receives it in
  its next wait.

A forked child shares the descriptor and would wake its parent's threads, so its copy is closed.

The descriptor is an eventfd, or a pipe where eventfd is missing, denied (some Linux sandboxes)
or not watchable (libkqueue) (n27). EVFILT_USER would save kqueue a descriptor, but must be
registered before it is triggered, and FreeBSD lost events of a one-shot one
(https://github.com/tokio-rs/mio/pull/1993).
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from mogpoll.errors import NotPollable
from mogpoll.interest import Interest
from mogpoll.system.forking import disown_after_fork

if TYPE_CHECKING:
    from mogpoll.poller import Poller


class Waker:
    """A descriptor that is readable from `wake` until `drain`.

    `pipe=True` opens a pipe even where the system has eventfd.

    **Threads:** any, and signal handlers; `receive` belongs to the thread that got the event.
    `_lock` is held while a descriptor is used, so that `close` cannot free its number. Nothing
    blocks under it, and it is reentrant for a handler that interrupts its own thread. `_is_set`
    saves a system call: it is false whenever the descriptor may be unreadable, a handler included.
    """

    def __init__(self, *, pipe: bool = False) -> None:
        self._lock = threading.RLock()
        self._read_fd, self._write_fd = (None if pipe else _open_eventfd()) or _open_pipe()
        self._is_eventfd = self._read_fd == self._write_fd
        self._is_set = False
        disown_after_fork(self)

    def wake(self) -> None:
        """Make the descriptor readable; no effect if it already is.

        **Raises:** `ValueError` if the waker is closed.
        """
        with self._lock:
            self._check_open()
            if self._is_set:
                return
            try:
                if self._is_eventfd:
                    os.eventfd_write(self._write_fd, 1)
                else:
                    os.write(self._write_fd, b"\0")
            except BlockingIOError:
                # Full, so readable (n27).
                return
            self._is_set = True

    def drain(self) -> None:
        """Make the descriptor unreadable until the next `wake`.

        **Raises:** `ValueError` if the waker is closed.
        """
        with self._lock:
            self._check_open()
            # Before and after: what a handler writes in between may be read or not.
            self._is_set = False
            try:
                if self._is_eventfd:
                    os.eventfd_read(self._read_fd)
                else:
                    while len(os.read(self._read_fd, 4096)) == 4096:
                        pass
            except BlockingIOError:
                return
            finally:
                self._is_set = False

    def attach(self, poller: Poller) -> int:
        """Register with `poller`; return the descriptor that its events will name.

        An eventfd that the backend cannot watch is replaced by a pipe.

        **Raises:** as `Poller.add`.
        """
        try:
            poller.add(self.fileno(), Interest.READ)
        except NotPollable:
            if not self._is_eventfd:
                raise
            with self._lock:
                was_woken = _is_readable(self._read_fd)
                self.close()
                self._read_fd, self._write_fd = _open_pipe()
                self._is_eventfd = self._is_set = False
                if was_woken:
                    self.wake()
            poller.add(self._read_fd, Interest.READ)
        return self._read_fd

    def receive(self, poller: Poller) -> None:
        """Drain after an event of `poller`, and re-arm."""
        self.drain()
        poller.rearm(self._read_fd, Interest.READ)

    def fileno(self) -> int:
        self._check_open()
        return self._read_fd

    def close(self) -> None:
        """Close the descriptors; forget them in the poller first. Closing twice is harmless."""
        with self._lock:
            read_fd, write_fd = self._read_fd, self._write_fd
            self._read_fd = self._write_fd = -1
            for fd in {read_fd, write_fd} - {-1}:
                os.close(fd)

    def __repr__(self) -> str:
        state = "closed" if self._read_fd < 0 else f"{self._read_fd}"
        return f"<{type(self).__name__} {state}>"

    def disown(self) -> None:
        """Close a forked child's copies of the descriptors."""
        # A thread of the parent may have held the old one.
        self._lock = threading.RLock()
        self.close()

    def _check_open(self) -> None:
        if self._read_fd < 0:
            raise ValueError("the waker is closed")


class BouncingWaker(Waker):
    """A waker that wakes all threads, one after the other."""

    def receive(self, poller: Poller) -> None:
        """Wake the next thread: re-arm without draining."""
        poller.rearm(self.fileno(), Interest.READ)


def _open_eventfd() -> tuple[int, int] | None:
    if not hasattr(os, "eventfd"):
        return None
    try:
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    except OSError:
        return None
    return fd, fd


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _open_pipe() -> tuple[int, int]:
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    return read_fd, write_fd
