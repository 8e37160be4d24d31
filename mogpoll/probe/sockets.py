"""Connected sockets on loopback."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

Pair = tuple[socket.socket, socket.socket]


@contextmanager
def stream_pair() -> Iterator[Pair]:
    """Yield two connected UNIX sockets, non-blocking."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


@contextmanager
def tcp_pair() -> Iterator[Pair]:
    """Yield the two ends of a TCP connection, non-blocking."""
    with listener() as listening:
        near = socket.create_connection(listening.getsockname(), 5.0)
        far, _ = listening.accept()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


def listener() -> socket.socket:
    """Return a TCP listener on a free port."""
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def connect(listening: socket.socket) -> socket.socket:
    return socket.create_connection(listening.getsockname(), 5.0)


def fill(sock: socket.socket) -> None:
    """Send until the socket is full."""
    while True:
        try:
            sock.send(b"x" * 65536)
        except BlockingIOError:
            return


def fill_for_good(sock: socket.socket) -> None:
    """Send until there is no room for 0.2 s: the peer's kernel may take more a little later."""
    while True:
        fill(sock)
        if not select.select([], [sock], [], 0.2)[1]:
            return


def drain(sock: socket.socket) -> None:
    """Read until the socket is empty."""
    while True:
        try:
            if not sock.recv(65536):
                return
        except BlockingIOError:
            return


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of end of file."""
    linger_for_0_s = struct.pack("ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_0_s)
    sock.close()
