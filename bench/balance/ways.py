"""The ways in which processes can share the work of accepting, and which of them exist here.

Epoll and kqueue report a connection to every process that watches the listener, and the first
one to call accept has it. EPOLLEXCLUSIVE wakes one (or a few) instead (epoll_ctl(2)). With
SO_REUSEPORT each process has a listener of its own, and the kernel picks one by a hash of the
addresses (socket(7)); on FreeBSD the option that does so is SO_REUSEPORT_LB, and plain
SO_REUSEPORT there and on macOS gives all connections to one listener. Blocking in accept wakes
one process, the one that has waited longest.
"""

from __future__ import annotations

import platform
import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum

from bench.load.child import Child

# All connections of a burst must fit, however slowly they are taken.
_BACKLOG = 1024
# <sys/socket.h> of FreeBSD 12 and newer; Python has the name since 3.14.
_FREEBSD_REUSEPORT_LB = 0x00010000


class Way(Enum):
    """The values are the words of the table."""

    POLL = "poll, then accept"
    EXCLUSIVE = "poll with EPOLLEXCLUSIVE"
    REUSEPORT = "SO_REUSEPORT, a listener each"
    BLOCKING = "blocking accept (mogpoll)"


@dataclass(frozen=True, slots=True)
class Layout:
    """Serving processes: how they accept, and how many threads wait on the one queue of each.

    No threads answer requests in those that only accept.
    """

    title: str
    processes: int
    threads: int
    way: Way

    def __str__(self) -> str:
        return f"{self.title} ({self.processes} x {self.threads})"


def layouts(processes: int, threads_each: int) -> list[Layout]:
    """The same number of serving threads, as one queue or as many."""
    total = processes * threads_each
    return [
        Layout("one queue", 1, total, Way.BLOCKING),
        Layout("queue per process, blocking accept", processes, threads_each, Way.BLOCKING),
        Layout("queue per thread, blocking accept", total, 1, Way.BLOCKING),
        Layout("queue per thread, SO_REUSEPORT", total, 1, Way.REUSEPORT),
    ]


def why_not(way: Way) -> str | None:
    """Why this system does not have `way`; None if it does."""
    if way is Way.EXCLUSIVE and not hasattr(select, "EPOLLEXCLUSIVE"):
        return "no EPOLLEXCLUSIVE here: it is Linux's"
    if way is Way.REUSEPORT and _balancing_option() is None:
        return "no SO_REUSEPORT that balances here: Linux and FreeBSD have one"
    return None


@contextmanager
def serving(layout: Layout) -> Iterator[tuple[tuple[str, int], list[Child]]]:
    """Run the processes of a layout; give their address."""
    with ExitStack() as stack:
        listeners = stack.enter_context(_listeners(layout.way, layout.processes))
        children = []
        for number, listener in enumerate(listeners):
            fd = listener.fileno()
            arguments = (layout.way.name, fd, number, layout.threads)
            child = Child("bench.balance.server", *arguments, pass_fds=[fd])
            children.append(stack.enter_context(child))
        for child in children:
            child.ask("are you there?")
        yield listeners[0].getsockname(), children


@contextmanager
def _listeners(way: Way, processes: int) -> Iterator[list[socket.socket]]:
    """One listener for each process, on one port of 127.0.0.1: its own, or the same one."""
    option = _balancing_option() if way is Way.REUSEPORT else None
    with ExitStack() as stack:
        first = stack.enter_context(socket.socket())
        _listen(first, 0, option)
        if option is None:
            # O_NONBLOCK belongs to the open file, so all processes share this, too.
            first.setblocking(way is Way.BLOCKING)
            yield [first] * processes
            return
        made = [first]
        for _ in range(processes - 1):
            made.append(stack.enter_context(socket.socket()))
            _listen(made[-1], first.getsockname()[1], option)
        yield made


def _listen(listener: socket.socket, port: int, option: int | None) -> None:
    if option is not None:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(_BACKLOG)


def waiter(way: Way, listener: socket.socket) -> Callable[[], object]:
    """What waits until `listener` seems to have a connection, on a poller of its own."""
    if way is Way.EXCLUSIVE:
        epoll = select.epoll()
        epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        return epoll.poll
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    return selector.select


def _balancing_option() -> int | None:
    system = platform.system()
    if system == "Linux":
        return socket.SO_REUSEPORT
    if system == "FreeBSD":
        return getattr(socket, "SO_REUSEPORT_LB", _FREEBSD_REUSEPORT_LB)
    return None
