"""Messages between a master and one of its worker processes, in both directions.

The channel is a pair of stream sockets, so the death of either process is seen at once by the
other. A message is one byte for its kind, four for the length of its content, and the content.

A stopped reader (SIGSTOP, a debugger) does not block the writer, which keeps one unsent message of
each kind: every message states the present, so a newer one replaces it. READY, SHUTDOWN and WANT
are never lost, only old reports.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import IntEnum, unique

from mogstored.log.bounded_writer import FlushResult


@unique
class Kind(IntEnum):
    """What a message is about."""

    READY = 1
    """From a worker: it serves."""
    ALIVE = 2
    """From a worker: its threads are making progress."""
    CLIENTS = 3
    """From a stopping worker: how many clients are left."""
    SHUTDOWN = 4
    """From a worker: a client asked the node to stop."""
    WANT = 5
    """From a worker, and to the measuring one: whether utilization reports are wanted."""
    REPORT = 6
    """From the measuring worker: the utilization of the disks."""
    LAST_CALL = 7
    """To a worker before it is stopped: no successor accepts what is left in the backlog."""
    RELOAD = 8
    """To a worker: the configuration that applies from now on, pickled."""


_HEAD = struct.Struct("!BI")


class IpcChannel:
    """One end of the channel.

    **Threads:** `send` from any, the rest from the main one. `_lock` guards `_begun` and `_kept`.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = bytearray()
        self._lock = threading.Lock()
        self._begun = memoryview(b"")
        """The rest of a partly sent message."""
        self._kept: dict[Kind, bytes] = {}
        self.on_pending: Callable[[], None] = _do_nothing
        self.is_over = False

    @classmethod
    def pair(cls) -> tuple[IpcChannel, IpcChannel]:
        near, far = socket.socketpair()
        return cls(near), cls(far)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, kind: Kind, content: bytes = b"") -> None:
        """Send a message, or keep it for `flush`; it is dropped when the other end is closed."""
        with self._lock:
            self._kept.pop(kind, None)
            self._kept[kind] = content
            result = self._offer()
        if result is not FlushResult.DONE:
            self.on_pending()

    def flush(self) -> FlushResult:
        """Send what is kept, as far as there is room."""
        with self._lock:
            return self._offer()

    def _offer(self) -> FlushResult:
        try:
            while self._begun or self._kept:
                if not self._begun:
                    kind, content = next(iter(self._kept.items()))
                    del self._kept[kind]
                    self._begun = memoryview(_HEAD.pack(kind, len(content)) + content)
                self._begun = self._begun[self._sock.send(self._begun) :]
        except BlockingIOError:
            return FlushResult.FULL
        except OSError:
            self._begun = memoryview(b"")
            self._kept.clear()
        return FlushResult.DONE

    def receive(self) -> Iterator[tuple[Kind, bytes]]:
        """Return the messages received; sets `is_over` when the other end is closed."""
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


def _do_nothing() -> None:
    pass
