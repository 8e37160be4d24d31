"""What the kernel knows of a TCP connection beyond what the socket calls tell."""

from __future__ import annotations

import socket
import struct

# Linux: struct tcp_info begins with 8 bytes and 11 words before tcpi_last_data_recv.
# FreeBSD leaves the field empty (uapi/linux/tcp.h, netinet/tcp_usrreq.c).
_LAST_DATA_RECV = struct.Struct("=I")
_OFFSET = 8 + 11 * 4
# An option that only Linux has.
_IS_FILLED = hasattr(socket, "TCP_QUICKACK")


def last_data_received_ms(connection: socket.socket) -> int | None:
    """Return the milliseconds since data last arrived; None where the system cannot say."""
    if not (_IS_FILLED and hasattr(socket, "TCP_INFO")):
        return None
    try:
        info = connection.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, _OFFSET + _LAST_DATA_RECV.size
        )
    except OSError:
        return None
    if len(info) < _OFFSET + _LAST_DATA_RECV.size:
        return None
    return int(_LAST_DATA_RECV.unpack_from(info, _OFFSET)[0])
