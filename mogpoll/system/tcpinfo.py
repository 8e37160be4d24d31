"""Idle times of a TCP connection, and the bytes not yet delivered, from the kernel."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys

# Linux's struct tcp_info: 8 bytes and 9 words, tcpi_last_data_sent, one word,
# tcpi_last_data_recv, tcpi_last_ack_recv (uapi/linux/tcp.h). FreeBSD fills none (n32,
# netinet/tcp_usrreq.c).
_LAST_DATA = struct.Struct("=I4xII")
_OFFSET = 8 + 9 * 4
# Only Linux has this option.
_IS_FILLED = hasattr(socket, "TCP_QUICKACK")

# Bytes not acknowledged: SIOCOUTQ of linux/sockios.h; elsewhere FIONWRITE of sys/filio.h, the
# contents of the send buffer.
_UNDELIVERED = 0x5411 if sys.platform == "linux" else 0x40046677
_INT = struct.Struct("=i")


def last_data_received_ms(connection: socket.socket) -> int | None:
    """Return the milliseconds since data last arrived; None if the system does not count them."""
    times = _last_data_ms(connection)
    return None if times is None else times[1]


def silence_ms(connection: socket.socket) -> int | None:
    """Return the milliseconds since data last arrived or was sent; None if unknown.

    The kernel counts from the start of the connection, which is before accept returns it.
    """
    times = _last_data_ms(connection)
    return None if times is None else min(times[:2])


def acknowledged_ms(connection: socket.socket) -> int | None:
    """Return the milliseconds since the peer last acknowledged data; None if unknown."""
    times = _last_data_ms(connection)
    return None if times is None else times[2]


def undelivered(connection: socket.socket) -> int:
    """Return the number of bytes sent but not acknowledged; 0 if unknown."""
    try:
        count = fcntl.ioctl(connection.fileno(), _UNDELIVERED, bytes(_INT.size))
    except (OSError, ValueError):
        # Closed, or a system without the call.
        return 0
    return int(_INT.unpack(count)[0])


def _last_data_ms(connection: socket.socket) -> tuple[int, int, int] | None:
    """Return the milliseconds since data was sent, data arrived, and was acknowledged."""
    if not (_IS_FILLED and hasattr(socket, "TCP_INFO")):
        return None
    size = _OFFSET + _LAST_DATA.size
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:
        return None
    if len(info) < size:
        return None
    sent, received, acknowledged = _LAST_DATA.unpack_from(info, _OFFSET)
    return sent, received, acknowledged
