"""What the leading process says to the admin process, over a stream socket.

A message is a tuple by `marshal`. One that introduces a serving process carries a descriptor: the
admin process's end of that one's channel. The stream ends with the leading process.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from mogstored.observability.frames import FrameReader, frame

STARTING, SERVING, DRAINING = "starting", "serving", "draining"

_RECV_SIZE = 65536
# More than are introduced between two reads; what Linux takes in one message at most is 253.
_MAX_FDS = 100


class ListenerFacts(NamedTuple):
    """A listening socket, for people."""

    kind: str
    """http, httpget, mgmt or admin."""
    address: str
    docroot: str | None


class NodeFacts(NamedTuple):
    """What only the leading process knows of the node."""

    pid: int
    """Of the leading process."""
    started_at: float
    """Seconds since the epoch."""
    worker_processes: int
    """How many there should be; 0 if the leading process serves itself."""
    listeners: tuple[ListenerFacts, ...]
    state: str = STARTING
    worker_restarts: int = 0
    upgrades: int = 0
    """Between the first process on these sockets and this one."""
    is_succeeded: bool = False
    """Whether another node accepts on the same sockets, so that this one should stop doing so."""
    access: tuple[str, ...] = ()
    """Who may connect to the admin listeners, as lines of a config file."""
    log_level: str = "info"


class ServingProcess(NamedTuple):
    """Introduces a process that serves; a descriptor comes with it."""

    number: int
    pid: int


class ControlWriter:
    """The leading process's end. Never waits.

    **Threads:** the main one.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def send_facts(self, facts: NodeFacts) -> bool:
        """Return False if the admin process does not read, or has ended."""
        # Only plain tuples are taken by marshal.
        fields = {**facts._asdict(), "listeners": tuple(map(tuple, facts.listeners))}
        return self._send((0, *fields.values()), [])

    def introduce(self, process: ServingProcess, fd: int) -> bool:
        """As `send_facts`; `fd` stays open here."""
        return self._send((1, *process), [fd])

    def end(self) -> None:
        """Let the admin process end; the channel ends with it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()

    def _send(self, message: tuple[Any, ...], fds: list[int]) -> bool:
        data = frame(marshal.dumps(message))
        try:
            # A short message is sent whole or not at all by all but a socket that is nearly full.
            return socket.send_fds(self._sock, [data], fds) == len(data)
        except OSError:
            return False


class ControlReader:
    """The admin process's end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._messages = FrameReader()
        self._fds: deque[int] = deque()
        self.is_over = False
        """Whether the leading process has ended."""

    def fileno(self) -> int:
        return self._sock.fileno()

    def receive(self) -> Iterator[NodeFacts | tuple[ServingProcess, socket.socket]]:
        """Return the messages received; an introduction comes with the channel."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._sock, _RECV_SIZE, _MAX_FDS)
            except BlockingIOError:
                break
            except OSError:
                data, fds = b"", []
            self._fds += fds
            self._messages.feed(data)
            if not data:
                self.is_over = True
                break
        while (content := self._messages.take()) is not None:
            kind, *fields = marshal.loads(content)
            if kind == 0:
                facts = NodeFacts(*fields)
                listeners = tuple(ListenerFacts(*each) for each in facts.listeners)
                yield facts._replace(listeners=listeners)
            elif self._fds:
                yield ServingProcess(*fields), socket.socket(fileno=self._fds.popleft())

    def close(self) -> None:
        self._sock.close()
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)
