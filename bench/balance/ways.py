"""The ways in which processes can share the work of accepting, and which of them exist here.

Epoll and kqueue tell every process that watches a listener about a connection, and the first to
call accept has it. EPOLLEXCLUSIVE tells one (or a few) instead. With SO_REUSEPORT each process has
a listener of its own, and the kernel picks one by a hash of the addresses; on FreeBSD the option
that does so is SO_REUSEPORT_LB, and plain SO_REUSEPORT there and on macOS gives all connections
to one listener. Blocking in accept wakes one process, the one that has waited longest.
"""

from __future__ import annotations

import platform
import select
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum

# All connections of a burst must fit, whoever is slow to take them.
_BACKLOG = 1024
# <sys/socket.h> of FreeBSD 12 and newer; Python has the name since 3.14.
_FREEBSD_REUSEPORT_LB = 0x00010000


class Way(Enum):
    """The values are the words of the table."""

    POLL = "poll, then accept"
    EXCLUSIVE = "poll with EPOLLEXCLUSIVE"
    REUSEPORT = "SO_REUSEPORT, a listener each"
    BLOCKING = "blocking accept (mogpoll)"


def why_not(way: Way) -> str | None:
    """Say why this system does not have `way`; None if it does."""
    if way is Way.EXCLUSIVE and not hasattr(select, "EPOLLEXCLUSIVE"):
        return "no EPOLLEXCLUSIVE here: it is Linux's"
    if way is Way.REUSEPORT and _balancing_option() is None:
        return "no SO_REUSEPORT that balances here: Linux and FreeBSD have one"
    return None


@contextmanager
def listeners(way: Way, processes: int) -> Iterator[list[socket.socket]]:
    """Give one listener for each process, on one port of 127.0.0.1: its own, or the same one."""
    option = _balancing_option() if way is Way.REUSEPORT else None
    with ExitStack() as stack:
        first = stack.enter_context(_listen(0, option))
        if option is None:
            # O_NONBLOCK belongs to the open file, so all processes share this, too.
            first.setblocking(way is Way.BLOCKING)
            yield [first] * processes
            return
        port = first.getsockname()[1]
        others = [stack.enter_context(_listen(port, option)) for _ in range(processes - 1)]
        yield [first, *others]


def waiter(way: Way, listener: socket.socket) -> Callable[[], object]:
    """Return what waits until `listener` seems to have a connection, on a poller of its own."""
    if way is Way.EXCLUSIVE:
        epoll = select.epoll()
        epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        return epoll.poll
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    return selector.select


def _listen(port: int, option: int | None) -> socket.socket:
    listener = socket.socket()
    try:
        if option is not None:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _balancing_option() -> int | None:
    system = platform.system()
    if system == "Linux":
        return socket.SO_REUSEPORT
    if system == "FreeBSD":
        return getattr(socket, "SO_REUSEPORT_LB", _FREEBSD_REUSEPORT_LB)
    return None
