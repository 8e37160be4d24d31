"""The kernel's queue as it is: epoll and kqueue by the same few verbs, nothing smoothed over."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from mogpoll.kqueue import find_kernel
from mogpoll.poller import backend_name

READ, WRITE = "read", "write"


class HasFileno(Protocol):
    def fileno(self) -> int: ...


Descriptor = int | HasFileno


class Told(NamedTuple):
    """One event: of which descriptor, and the kernel's words for it."""

    fd: int
    words: list[str]


class Queue(Protocol):
    """One queue of the kernel's. What it refuses is an `OSError`."""

    def once(self, fd: Descriptor, *directions: str) -> None:
        """Add `fd`, armed once."""

    def again(self, fd: Descriptor, *directions: str) -> None:
        """Arm `fd` again."""

    def for_ever(self, fd: Descriptor) -> None:
        """Add `fd` to be told of whenever it is readable."""

    def next(self, timeout_s: float | None = 0.0) -> Told | None:
        """Wait for one event."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class EpollQueue:
    """Linux's."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.fileno, self.close = self._epoll.fileno, self._epoll.close

    def once(self, fd: Descriptor, *directions: str) -> None:
        self._epoll.register(fd, self._mask(directions))

    def again(self, fd: Descriptor, *directions: str) -> None:
        self._epoll.modify(fd, self._mask(directions))

    def for_ever(self, fd: Descriptor) -> None:
        self._epoll.register(fd, select.EPOLLIN)

    def next(self, timeout_s: float | None = 0.0) -> Told | None:
        for fd, mask in self._epoll.poll(timeout_s, 1):
            return Told(fd, [word for bit, word in self._words().items() if mask & bit])
        return None

    @staticmethod
    def _mask(directions: tuple[str, ...]) -> int:
        reads = select.EPOLLIN | select.EPOLLRDHUP if READ in directions else 0
        return reads | (select.EPOLLOUT if WRITE in directions else 0) | select.EPOLLONESHOT

    @staticmethod
    def _words() -> dict[int, str]:
        return {
            select.EPOLLIN: "readable",
            select.EPOLLOUT: "writable",
            select.EPOLLRDHUP: "end",
            select.EPOLLHUP: "hang-up",
            select.EPOLLERR: "error",
        }


class KqueueQueue:
    """FreeBSD's and macOS's, or libkqueue's."""

    def __init__(self) -> None:
        self._kernel = find_kernel()
        self._kqueue = self._kernel.kqueue()
        self.fileno, self.close = self._kqueue.fileno, self._kqueue.close

    def once(self, fd: Descriptor, *directions: str) -> None:
        for direction in directions:
            self._add(fd, direction, self._kernel.KQ_EV_ADD | self._kernel.KQ_EV_ONESHOT)

    again = once

    def for_ever(self, fd: Descriptor) -> None:
        self._add(fd, READ, self._kernel.KQ_EV_ADD)

    def next(self, timeout_s: float | None = 0.0) -> Told | None:
        for event in self._kqueue.control(None, 1, timeout_s):
            return Told(event.ident, self._words(event))
        return None

    def _add(self, fd: Descriptor, direction: str, flags: int) -> None:
        kernel = self._kernel
        filter_ = kernel.KQ_FILTER_READ if direction == READ else kernel.KQ_FILTER_WRITE
        self._kqueue.control([kernel.kevent(fd, filter_, flags)], 0)

    def _words(self, event: Any) -> list[str]:
        words = ["readable" if event.filter == self._kernel.KQ_FILTER_READ else "writable"]
        if event.flags & self._kernel.KQ_EV_EOF:
            words.append("end")
            if event.fflags:
                words.append("error")
        return words


def open_queue() -> Queue:
    """Return a queue of the kind that mogpoll would use here."""
    return EpollQueue() if backend_name() == "epoll" else KqueueQueue()


@contextmanager
def queue() -> Iterator[Queue]:
    """A queue, closed at the end."""
    opened = open_queue()
    try:
        yield opened
    finally:
        opened.close()


def all_told(kernel: Queue) -> list[Told]:
    """Take what is queued now."""
    return list(iter(kernel.next, None))
