"""The kernel's own queue: epoll and kqueue by the same verbs, differences left in."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from mogpoll.backends import backend_name, find_kqueue_api

READ, WRITE = "read", "write"


class HasFileno(Protocol):
    def fileno(self) -> int: ...


Descriptor = int | HasFileno


class KernelEvent(NamedTuple):
    """One event: its descriptor, and the kernel's flags in words."""

    fd: int
    words: list[str]


class Queue(Protocol):
    """A queue of the kernel. **Raises:** `OSError` for a call that it refuses."""

    def add(self, fd: Descriptor, *directions: str) -> None:
        """Add `fd`, one-shot."""

    def rearm(self, fd: Descriptor, *directions: str) -> None:
        """Arm `fd` again."""

    def add_level(self, fd: Descriptor) -> None:
        """Add `fd` for READ, level-triggered."""

    def wait(self, timeout_s: float | None = 0.0) -> KernelEvent | None:
        """Wait for one event."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class EpollQueue:
    """Linux."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.fileno, self.close = self._epoll.fileno, self._epoll.close

    def add(self, fd: Descriptor, *directions: str) -> None:
        self._epoll.register(fd, self._mask(directions))

    def rearm(self, fd: Descriptor, *directions: str) -> None:
        self._epoll.modify(fd, self._mask(directions))

    def add_level(self, fd: Descriptor) -> None:
        self._epoll.register(fd, select.EPOLLIN)

    def wait(self, timeout_s: float | None = 0.0) -> KernelEvent | None:
        for fd, mask in self._epoll.poll(timeout_s, 1):
            return KernelEvent(fd, [word for bit, word in self._words().items() if mask & bit])
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
    """FreeBSD, macOS and libkqueue."""

    def __init__(self) -> None:
        self._api = find_kqueue_api()
        self._kqueue = self._api.kqueue()
        self.fileno, self.close = self._kqueue.fileno, self._kqueue.close

    def add(self, fd: Descriptor, *directions: str) -> None:
        for direction in directions:
            self._add(fd, direction, self._api.KQ_EV_ADD | self._api.KQ_EV_ONESHOT)

    rearm = add

    def add_level(self, fd: Descriptor) -> None:
        self._add(fd, READ, self._api.KQ_EV_ADD)

    def wait(self, timeout_s: float | None = 0.0) -> KernelEvent | None:
        for event in self._kqueue.control(None, 1, timeout_s):
            return KernelEvent(event.ident, self._words(event))
        return None

    def _add(self, fd: Descriptor, direction: str, flags: int) -> None:
        api = self._api
        filter_ = api.KQ_FILTER_READ if direction == READ else api.KQ_FILTER_WRITE
        self._kqueue.control([api.kevent(fd, filter_, flags)], 0)

    def _words(self, event: Any) -> list[str]:
        words = ["readable" if event.filter == self._api.KQ_FILTER_READ else "writable"]
        if event.flags & self._api.KQ_EV_EOF:
            words.append("end")
            if event.fflags:
                words.append("error")
        return words


def open_queue() -> Queue:
    """Return a queue of the backend that mogpoll uses here."""
    return EpollQueue() if backend_name() == "epoll" else KqueueQueue()


@contextmanager
def queue() -> Iterator[Queue]:
    """Open a queue, and close it at the end."""
    opened = open_queue()
    try:
        yield opened
    finally:
        opened.close()


def shared_queue() -> Queue:
    """Open a queue in which threads may sleep for ever; the end of the process closes it.

    On NetBSD, closing it beside them would not return (n28).
    """
    return open_queue()


def take_all(kernel: Queue) -> list[KernelEvent]:
    """Receive all events that are queued now."""
    return list(iter(kernel.wait, None))
