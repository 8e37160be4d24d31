"""Find out which peers have hung up, without reading from them and without owning them.

A connection that waits for something else than its peer is armed for nothing, and so the
poller is silent about it. Arming it for READ would not do: a peer that has sent more than
was read makes it readable at once and for ever, and tells nothing about the end behind.
poll(2) leaves every registration alone. Where it knows POLLRDHUP (Linux; FreeBSD since 13)
it tells of the end behind unread bytes too; elsewhere a look at the first unread byte has
to do, which cannot see past it.

A peer that has only shut down its sending side looks like one that has gone: the systems
tell no difference until something is sent to it.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable

_RDHUP: int = getattr(select, "POLLRDHUP", 0)
_GONE = select.POLLHUP | select.POLLERR | _RDHUP


def hung_up(fds: Iterable[int]) -> set[int]:
    """Return those of the sockets `fds` whose peer sends nothing more, or has vanished.

    Does not block, and takes nothing from anybody.

    **Threads:** any. A descriptor may be closed, and even be another file's, by the time
    it is looked at; whoever asks has to find out whether the answer is still about the
    same thing. Closed ones are not returned.
    """
    looked_at = select.poll()
    for fd in fds:
        if fd >= 0:
            looked_at.register(fd, _RDHUP or select.POLLIN)
    found = set()
    for fd, events in looked_at.poll(0):
        if events & _GONE or (events & select.POLLIN and _is_at_end(fd)):
            found.add(fd)
    return found


def _is_at_end(fd: int) -> bool:
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        sock.detach()
