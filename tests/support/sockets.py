"""Sockets and the processes that hold them: make pairs, fill and drain them, count."""

from __future__ import annotations

import errno
import random
import resource
import select
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 64 * 1024
# Descriptors of a test process besides those of the test.
_OTHER_DESCRIPTORS = 200


def unused_port() -> int:
    """Return a port that no socket of another test is given while it is not bound.

    It lies below the ports that Linux and FreeBSD choose themselves.
    """
    while True:
        port = random.randrange(2000, 10_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port


@contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one TCP connection over loopback, non-blocking, closed at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname(), PATIENCE_S)
        far, _ = listener.accept()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


@contextmanager
def stream_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected UNIX stream sockets, non-blocking, closed at the end."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        yield near, far


def fill(sock: socket.socket, data: bytes = b"x" * _PIECE, start: int = 0) -> int:
    """Write repetitions of `data` until the socket would block; return how many bytes went.

    `start` bytes of the repetitions count as written before. The socket is left non-blocking.
    """
    sock.setblocking(False)
    sent = 0
    while True:
        try:
            sent += sock.send(data[(start + sent) % len(data) :])
        except BlockingIOError:
            return sent


def fill_for_good(sock: socket.socket, data: bytes, settled_s: float = 0.2) -> int:
    """Write repetitions of `data` until the peer takes no more; return how many bytes went.

    The peer counts as done when there was no room for `settled_s`: it may need a moment to
    read what a full socket holds. The socket is left non-blocking.
    """
    sent = 0
    while True:
        sent += fill(sock, data, sent)
        if not select.select([], [sock], [], settled_s)[1]:
            return sent


def drain(sock: socket.socket) -> bytes:
    """Read what is there without waiting; the socket is left non-blocking."""
    sock.setblocking(False)
    pieces = []
    while True:
        try:
            piece = sock.recv(_PIECE)
        except BlockingIOError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets a reset instead of an end of file."""
    linger_for_0_s = struct.pack("ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_0_s)
    sock.close()


def refuses(addr: tuple[str, int]) -> bool:
    """Return whether connecting is refused.

    A connection that was still taken into the queue of a listener being closed is reset, and
    FreeBSD reports such a moment as an invalid argument: neither is a refusal yet.
    """
    with socket.socket() as probe:
        probe.settimeout(PATIENCE_S)
        return probe.connect_ex(addr) == errno.ECONNREFUSED


def thread_count(pid: int) -> int:
    """Count the threads that the system sees in a process."""
    return psutil.Process(pid).num_threads()


def descriptor_count(pid: int) -> int:
    """Count the open descriptors of a process."""
    return psutil.Process(pid).num_fds()


@contextmanager
def room_for(sockets: int) -> Iterator[None]:
    """Let this process have so many sockets open; skip where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sockets + _OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"no more than {hard} descriptors are allowed here")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
