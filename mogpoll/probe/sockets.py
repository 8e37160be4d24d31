"""Connected sockets to experiment with, all on this machine."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

Pair = tuple[socket.socket, socket.socket]


@contextmanager
def stream_pair() -> Iterator[Pair]:
    """Two connected UNIX sockets, non-blocking."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


@contextmanager
def tcp_pair() -> Iterator[Pair]:
    """Two ends of a TCP connection over loopback, non-blocking."""
    with listener() as listening:
        near = socket.create_connection(listening.getsockname(), 5.0)
        far, _ = listening.accept()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


def listener() -> socket.socket:
    """A TCP listener on a free port of loopback."""
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def connect(listening: socket.socket) -> socket.socket:
    return socket.create_connection(listening.getsockname(), 5.0)


def fill(sock: socket.socket) -> None:
    """Send until the socket takes no more."""
    while True:
        try:
            sock.send(b"x" * 65536)
        except BlockingIOError:
            return


def drain(sock: socket.socket) -> None:
    """Read all that is there."""
    while True:
        try:
            if not sock.recv(65536):
                return
        except BlockingIOError:
            return


def reset(sock: socket.socket) -> None:
    """Close, so that the peer meets a reset and no end of file."""
    linger_for_0_s = struct.pack("ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_0_s)
    sock.close()
