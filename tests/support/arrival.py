"""Wait until a peer on this machine has read all bytes sent to it."""

from __future__ import annotations

import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.http import Client

# Where the kernel does not show it: the pause of the trickle tests' specification.
_PAUSE_S = 0.01

# linux/inet_diag.h and linux/sock_diag.h: ask for one socket by its two ends.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBxI2s2s16s16sI8s")
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = b"\xff" * 8
# Behind the header: four bytes, the socket's identity, its timer.
_RECEIVE_QUEUE_AT = _HEADER.size + 4 + 48 + 4


def send_pieces(client: Client, pieces: Iterable[bytes]) -> None:
    """Write each piece once the peer has read the one before."""
    for piece in pieces:
        client.send(piece)
        wait_until_taken(client)


def wait_until_taken(client: Client) -> None:
    """Return once the peer has read all that was sent."""
    peer, own = client.sock.getpeername(), client.sock.getsockname()
    deadline = time.monotonic() + PATIENCE_S
    while unread := _unread_bytes(peer, own):
        assert time.monotonic() < deadline, f"the peer leaves {unread} bytes unread"
        time.sleep(0.0002)
    if unread is None:
        time.sleep(_PAUSE_S)


def _unread_bytes(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """Return the length of that end's receive queue; None where the kernel does not say."""
    if not hasattr(socket, "AF_NETLINK"):
        return None
    question = _QUESTION.pack(
        socket.AF_INET,
        socket.IPPROTO_TCP,
        0,
        _ANY_STATE,
        local[1].to_bytes(2, "big"),
        remote[1].to_bytes(2, "big"),
        socket.inet_aton(local[0]),
        socket.inet_aton(remote[0]),
        0,
        _NO_COOKIE,
    )
    size = _HEADER.size + len(question)
    header = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + question)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    return int.from_bytes(answer[_RECEIVE_QUEUE_AT : _RECEIVE_QUEUE_AT + 4], sys.byteorder)
