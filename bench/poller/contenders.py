"""The ways of waiting that are compared, each with the shortest loop that it allows.

`cycle_s` is the bare cost of an event and the next arming. `bounce` is what a server does: it
reads the byte that has come, and sends one back, which makes the other end of the pair ready. The
loops are written out for each way, so that no call of ours is in its cost. mogpoll and the bare
kernel queues hand out one event at a time, one-shot, and may be used by many threads at once;
`selectors` and asyncio belong to one thread, and keep a descriptor armed.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import time
from collections.abc import Sequence
from typing import Protocol

from mogpoll import EpollPoller, Interest, Poller, open_poller
from mogpoll.kqueue import find_kernel


class Switch:
    """Tells every loop when it is over. **Threads:** set by one, read by all."""

    over = False


class Contender(Protocol):
    name: str

    def add(self, fds: Sequence[int]) -> None: ...

    def bounce(self, switch: Switch) -> int:
        """Serve until the switch is set; return the number of events."""

    def close(self) -> None: ...


class Shared(Contender, Protocol):
    """One that many threads may use."""

    def cycle_s(self, count: int) -> float:
        """Take an event and arm again, so often; return the processor time of this thread."""


class Mogpoll:
    name = "mogpoll"

    def __init__(self, poller: Poller | None = None) -> None:
        self._poller = open_poller() if poller is None else poller

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._poller.add(fd, Interest.READ)

    def cycle_s(self, count: int) -> float:
        wait, rearm, interest = self._poller.wait, self._poller.rearm, Interest.READ
        began = time.thread_time()
        for _ in range(count):
            rearm(wait()[0], interest)  # type: ignore[index]  # without time-out never None
        return time.thread_time() - began

    def bounce(self, switch: Switch) -> int:
        wait, rearm, interest = self._poller.wait, self._poller.rearm, Interest.READ
        events = 0
        while not switch.over:
            fd = wait()[0]  # type: ignore[index]
            os.write(fd, os.read(fd, 1))
            rearm(fd, interest)
            events += 1
        return events

    def close(self) -> None:
        self._poller.close()


class BareEpoll:
    name = "select.epoll"

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._mask = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._epoll.register(fd, self._mask)

    def cycle_s(self, count: int) -> float:
        poll, modify, mask = self._epoll.poll, self._epoll.modify, self._mask
        began = time.thread_time()
        for _ in range(count):
            modify(poll(None, 1)[0][0], mask)
        return time.thread_time() - began

    def bounce(self, switch: Switch) -> int:
        poll, modify, mask = self._epoll.poll, self._epoll.modify, self._mask
        events = 0
        while not switch.over:
            fd = poll(None, 1)[0][0]
            os.write(fd, os.read(fd, 1))
            modify(fd, mask)
            events += 1
        return events

    def close(self) -> None:
        self._epoll.close()


class BareKqueue:
    name = "select.kqueue"

    def __init__(self) -> None:
        kernel = find_kernel()
        self._kqueue, self._kevent = kernel.kqueue(), kernel.kevent
        self._filter, self._flags = kernel.KQ_FILTER_READ, kernel.KQ_EV_ADD | kernel.KQ_EV_ONESHOT

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._kqueue.control([self._kevent(fd, self._filter, self._flags)], 0)

    def cycle_s(self, count: int) -> float:
        control, kevent = self._kqueue.control, self._kevent
        filter_, flags = self._filter, self._flags
        began = time.thread_time()
        for _ in range(count):
            control([kevent(control(None, 1, None)[0].ident, filter_, flags)], 0)
        return time.thread_time() - began

    def bounce(self, switch: Switch) -> int:
        control, kevent = self._kqueue.control, self._kevent
        filter_, flags = self._filter, self._flags
        events = 0
        while not switch.over:
            fd = control(None, 1, None)[0].ident
            os.write(fd, os.read(fd, 1))
            control([kevent(fd, filter_, flags)], 0)
            events += 1
        return events

    def close(self) -> None:
        self._kqueue.close()


class Selectors:
    name = "selectors"

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

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

    def close(self) -> None:
        self._selector.close()


class Asyncio:
    name = "asyncio"

    def __init__(self) -> None:
        self._loop = asyncio.SelectorEventLoop()
        self._events = 0
        self._switch = Switch()

    def add(self, fds: Sequence[int]) -> None:
        for fd in fds:
            self._loop.add_reader(fd, self._answer, fd)

    def bounce(self, switch: Switch) -> int:
        self._switch = switch
        self._loop.run_forever()
        return self._events

    def close(self) -> None:
        self._loop.close()

    def _answer(self, fd: int) -> None:
        os.write(fd, os.read(fd, 1))
        self._events += 1
        if self._switch.over:
            self._loop.stop()


def backend() -> str:
    """Which kernel queue `open_poller` gives here: epoll or kqueue."""
    poller = open_poller()
    poller.close()
    return "epoll" if isinstance(poller, EpollPoller) else "kqueue"


def bare() -> Shared:
    """The kernel queue below what `open_poller` gives."""
    return BareEpoll() if backend() == "epoll" else BareKqueue()


def bare_name() -> str:
    return BareEpoll.name if backend() == "epoll" else BareKqueue.name
