"""Find peers that are gone, on sockets that another thread owns.

A connection that waits for something other than its peer is not armed, so the poller reports
nothing. poll(2) leaves registrations alone, and always reports a reset or an error.

A peer that has closed looks half-closed, as `nc -N` is while it waits for its answer. The two
differ in how they take data: the system of a closed peer answers it with a reset, and a keepalive
probe as well once it has forgotten the connection.
Source: https://www.rfc-editor.org/rfc/rfc9293#section-3.8.4, and 3.6
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable

_GONE = select.POLLHUP | select.POLLERR
# Not on every system.
_ENDED: int = getattr(select, "POLLRDHUP", 0)

# Linux and the BSDs; macOS has another name.
_IDLE: int | None = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
_INTERVAL: int | None = getattr(socket, "TCP_KEEPINTVL", None)


def hung_up(fds: Iterable[int], timeout_s: float = 0.0) -> set[int]:
    """Return the sockets of `fds` whose connection was reset or has failed.

    Of a socket pair, an end whose other end is closed in every process. Waits so long for the
    first of them. Consumes no data and no event. Closed descriptors are left out.

    **Threads:** any. A descriptor may be closed and reused during the call; the caller must
    check that it still belongs to the same connection.
    """
    return _look(fds, _GONE, timeout_s)


def sends_no_more(fds: Iterable[int]) -> set[int]:
    """Return the sockets of `fds` whose peer has closed, or shut down its sending side.

    Empty on systems that show this only to a reader.

    **Threads:** any, as `hung_up`.
    """
    return _look(fds, _ENDED)


def _look(fds: Iterable[int], mask: int, timeout_s: float = 0.0) -> set[int]:
    looked_at = select.poll()
    for fd in fds:
        if fd >= 0:
            looked_at.register(fd, mask & ~_GONE)
    return {fd for fd, events in looked_at.poll(timeout_s * 1000) if events & mask}


def probe_often(fd: int, interval_s: int) -> None:
    """Have the kernel probe the peer of TCP socket `fd` after each `interval_s` of silence.

    `hung_up` then finds a closed peer once its system has forgotten the connection, which
    takes a minute on most.

    **Threads:** any, as `hung_up`. Closed descriptors and other sockets are left alone.
    """
    if fd < 0:
        return
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return
    try:
        for option in (_IDLE, _INTERVAL):
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, interval_s)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except OSError:
        # Another kind of socket, or closed in this instant.
        return
    finally:
        sock.detach()
