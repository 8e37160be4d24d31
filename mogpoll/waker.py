"""Wake threads that wait on a poller, from any thread and from a signal handler.

A waker is a descriptor that becomes readable. There are two ways of receiving it, and each
is a class:

- `Waker` is drained by the thread that receives it: one call of `wake` (or several before
  anybody looked) wakes one thread, which then looks at whatever it was woken for.
- `BouncingWaker` is never drained. The thread that receives it arms it again and leaves;
  being still readable it wakes the next one, until the last thread is gone. There is no
  race to lose: a thread that was not waiting yet meets it on its next wait.

A forked child shares the descriptor with its parent, whose threads it would wake. Its waker is
closed therefore, as its pollers are.

The descriptor is an eventfd where the system has one, else a pipe. Linux sandboxes have
been seen to deny eventfd, and libkqueue cannot watch one, so its refusal is no error.
EVFILT_USER would save kqueue a descriptor, and is not used: it must be registered before
it is triggered, and events of a one-shot one were lost on FreeBSD
(https://github.com/tokio-rs/mio/pull/1993).
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from mogpoll.errors import NotPollable
from mogpoll.forking import disown_after_fork
from mogpoll.interest import Interest

if TYPE_CHECKING:
    from mogpoll.poller import Poller


class Waker:
    """A descriptor that is readable from `wake` until `drain`.

    `pipe=True` asks for the pipe even where the system has an eventfd.

    **Threads:** `wake` may be called from anywhere at any time, also beside `close`; `receive`
    by the thread that was handed the event. `_lock` is held over the use of a number, so that
    none is used that was closed and given to another file. Nothing sleeps there, and a signal
    handler may wake while its own thread does.
    """

    def __init__(self, *, pipe: bool = False) -> None:
        self._lock = threading.RLock()
        self._read_fd, self._write_fd = (None if pipe else _open_eventfd()) or _open_pipe()
        self._is_eventfd = self._read_fd == self._write_fd
        disown_after_fork(self)

    def wake(self) -> None:
        """Make the descriptor readable; without effect when it already is.

        **Raises:** `ValueError` when the waker is closed.
        """
        with self._lock:
            self._check_open()
            try:
                if self._is_eventfd:
                    os.eventfd_write(self._write_fd, 1)
                else:
                    os.write(self._write_fd, b"\0")
            except BlockingIOError:
                # Full: it has been woken more than often enough.
                return

    def drain(self) -> None:
        """Make the descriptor unreadable until the next `wake`.

        **Raises:** `ValueError` when the waker is closed.
        """
        with self._lock:
            self._check_open()
            try:
                if self._is_eventfd:
                    os.eventfd_read(self._read_fd)
                else:
                    while len(os.read(self._read_fd, 4096)) == 4096:
                        pass
            except BlockingIOError:
                return

    def attach(self, poller: Poller) -> int:
        """Register with `poller` and return the descriptor by which it tells of this waker.

        **Raises:** what `Poller.add` raises, save that an eventfd which the backend cannot
        watch is replaced by a pipe.
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
                self._is_eventfd = False
                if was_woken:
                    self.wake()
            poller.add(self._read_fd, Interest.READ)
        return self._read_fd

    def receive(self, poller: Poller) -> None:
        """Take the event that `poller` handed to this thread, and arm for the next."""
        self.drain()
        poller.rearm(self._read_fd, Interest.READ)

    def fileno(self) -> int:
        self._check_open()
        return self._read_fd

    def close(self) -> None:
        """Release the descriptors; forget them in the poller first. Twice does no harm."""
        with self._lock:
            read_fd, write_fd = self._read_fd, self._write_fd
            self._read_fd = self._write_fd = -1
            for fd in {read_fd, write_fd} - {-1}:
                os.close(fd)

    def disown(self) -> None:
        """Close the copies that a forked child inherited; the parent's are not touched."""
        # Held, perhaps, by a thread that did not come along into the child.
        self._lock = threading.RLock()
        self.close()

    def _check_open(self) -> None:
        if self._read_fd < 0:
            raise ValueError("the waker is closed")


class BouncingWaker(Waker):
    """A waker that goes on to the next thread, and the next, until none is left."""

    def receive(self, poller: Poller) -> None:
        """Hand the event on: arm it again while it is still readable."""
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
