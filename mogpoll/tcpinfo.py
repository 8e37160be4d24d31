"""What the kernel knows of a TCP connection beyond what the socket calls tell."""

from __future__ import annotations

import socket
import struct

# Linux: struct tcp_info begins with 8 bytes and 9 words before tcpi_last_data_sent; another
# word stands between that and tcpi_last_data_recv. FreeBSD leaves both empty
# (uapi/linux/tcp.h, netinet/tcp_usrreq.c).
_LAST_DATA = struct.Struct("=I4xI")
_OFFSET = 8 + 9 * 4
# An option that only Linux has.
_IS_FILLED = hasattr(socket, "TCP_QUICKACK")


def last_data_received_ms(connection: socket.socket) -> int | None:
    """Return the milliseconds since data last arrived; None where the system cannot say."""
    times = _last_data_ms(connection)
    return None if times is None else times[1]


def silence_ms(connection: socket.socket) -> int | None:
    """Return the milliseconds since data last arrived or was sent.

    The kernel counts from the connection's beginning, which is before it was accepted.
    None where the system cannot say.
    """
    times = _last_data_ms(connection)
    return None if times is None else min(times)


def _last_data_ms(connection: socket.socket) -> tuple[int, int] | None:
    """Return the milliseconds since data was last sent, and since it last arrived."""
    if not (_IS_FILLED and hasattr(socket, "TCP_INFO")):
        return None
    size = _OFFSET + _LAST_DATA.size
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:
        return None
    if len(info) < size:
        return None
    sent, received = _LAST_DATA.unpack_from(info, _OFFSET)
    return sent, received
