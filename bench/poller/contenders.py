"""The ways of waiting that are compared.

mogpoll and the bare kernel queues hand out one event at a time, one-shot, and may be used by many
threads at once: they take an event and arm its descriptor again. `selectors` and asyncio belong to
one thread, take events in batches, and keep a descriptor armed. `bounce` is what a server does: it
reads the byte that has come, and sends one back, which makes the other end of the pair ready.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mogpoll import EpollPoller, Interest, open_poller
from mogpoll.backends import find_kqueue_api


class Switch:
    """Ends every loop. **Threads:** set by one, read by all."""

    over = False


class Contender(Protocol):
    def add(self, fds: Sequence[int]) -> None: ...

    def bounce(self, switch: Switch) -> int:
        """Serve until the switch is set; return the number of events."""

    def close(self) -> object: ...


@dataclass(frozen=True, slots=True)
class OneShot:
    """`take` waits for an event and returns its descriptor, `arm` arms it again.

    Each has one call of ours around that of the poller, so that none gains by it.
    """

    register: Callable[[int], object]
    take: Callable[[], int]
    arm: Callable[[int], object]
    close: Callable[[], object]

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self.register(fd)

    def cycle_s(self, count: int) -> float:
        """Take an event and arm again, so often; return the processor time of this thread."""
        take, arm = self.take, self.arm
        began = time.thread_time()
        for _ in range(count):
            arm(take())
        return time.thread_time() - began

    def bounce(self, switch: Switch) -> int:
        take, arm, events = self.take, self.arm, 0
        while not switch.over:
            fd = take()
            os.write(fd, os.read(fd, 1))
            arm(fd)
            events += 1
        return events


def mogpoll() -> OneShot:
    poller, interest = open_poller(), Interest.READ
    wait, rearm = poller.wait, poller.rearm
    return OneShot(
        lambda fd: poller.add(fd, interest),
        lambda: wait()[0],  # type: ignore[index]  # without time-out never None
        lambda fd: rearm(fd, interest),
        poller.close,
    )


def bare() -> OneShot:
    """The kernel queue below what `open_poller` gives."""
    return _bare_epoll() if backend() == "epoll" else _bare_kqueue()


def bare_name() -> str:
    return f"select.{backend()}"


def backend() -> str:
    """Which kernel queue `open_poller` gives here: epoll or kqueue."""
    poller = open_poller()
    poller.close()
    return "epoll" if isinstance(poller, EpollPoller) else "kqueue"


def _bare_epoll() -> OneShot:
    epoll, mask = select.epoll(), select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
    poll, modify = epoll.poll, epoll.modify
    return OneShot(
        lambda fd: epoll.register(fd, mask),
        lambda: poll(None, 1)[0][0],
        lambda fd: modify(fd, mask),
        epoll.close,
    )


def _bare_kqueue() -> OneShot:
    api = find_kqueue_api()
    kqueue, kevent = api.kqueue(), api.kevent
    control, filter_, flags = kqueue.control, api.KQ_FILTER_READ, api.KQ_EV_ADD | api.KQ_EV_ONESHOT

    def arm(fd: int) -> object:
        return control([kevent(fd, filter_, flags)], 0)

    return OneShot(arm, lambda: control(None, 1, None)[0].ident, arm, kqueue.close)


class Selectors:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._selector.register(fd, selectors.EVENT_READ)

    def bounce(self, switch: Switch) -> int:
        events = 0
        while not switch.over:
            for key, _ in self._selector.select():
                os.write(key.fd, os.read(key.fd, 1))
                events += 1
        return events


class Asyncio:
    def __init__(self) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._events, self._switch = 0, Switch()
        self.close = self._loop.close

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._loop.add_reader(fd, self._answer, fd)

    def bounce(self, switch: Switch) -> int:
        self._switch = switch
        self._loop.run_forever()
        return self._events

    def _answer(self, fd: int) -> None:
        os.write(fd, os.read(fd, 1))
        self._events += 1
        if self._switch.over:
            self._loop.stop()
