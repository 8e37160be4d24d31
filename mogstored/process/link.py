"""The line between a master and one of its worker processes: short messages, both ways.

It is a pair of stream sockets, so each end learns at once when the other is gone: a worker
that its master has vanished, a master that a worker has. A message is one byte for its kind,
four for the length of its content, and the content.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from enum import IntEnum, unique


@unique
class Kind(IntEnum):
    """What a message is about."""

    READY = 1
    """From a worker: it serves."""
    ALIVE = 2
    """From a worker: its threads make progress."""
    CLIENTS = 3
    """From a worker that is stopping: how many clients are left."""
    SHUTDOWN = 4
    """From a worker: a client asked for the whole node to stop."""
    WANT = 5
    """Whether utilization is wanted; from a worker, and on to the one that measures it."""
    REPORT = 6
    """From the worker that measures: the utilization of the disks."""
    LAST_CALL = 7
    """To a worker that is about to be stopped: nobody goes on, clients must not be left."""


_HEAD = struct.Struct("!BI")


class Link:
    """One end of the line.

    **Threads:** `send` from any, the rest from the main one.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = bytearray()
        self._lock = threading.Lock()
        self.is_over = False

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        near, far = socket.socketpair()
        return cls(near), cls(far)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, kind: Kind, content: bytes = b"") -> None:
        """Send a message; it is lost when the other end is gone, or has stopped reading."""
        message = memoryview(_HEAD.pack(kind, len(content)) + content)
        with self._lock:
            try:
                sent = self._sock.send(message)
                if sent < len(message):
                    room = select.poll()
                    room.register(self._sock, select.POLLOUT)
                while sent < len(message):
                    # Half a message would garble the next one.
                    room.poll()
                    sent += self._sock.send(message[sent:])
            except OSError:
                return

    def receive(self) -> Iterator[tuple[Kind, bytes]]:
        """Return the messages that have come; sets `is_over` when the other end is gone."""
        while True:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.is_over = True
                break
            self._received += data
        return iter(list(self._take_whole()))

    def close(self) -> None:
        self._sock.close()

    def _take_whole(self) -> Iterator[tuple[Kind, bytes]]:
        while len(self._received) >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._received)
            end = _HEAD.size + size
            if len(self._received) < end:
                return
            content = bytes(self._received[_HEAD.size : end])
            del self._received[:end]
            yield Kind(kind), content
