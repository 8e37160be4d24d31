"""What a connection counts: its requests, when each is over, and what the access log gets of it.

A request begins with the first byte that is received of it, or when the one before it is over.
It is over when the last byte of its answer was given to the kernel, and is counted then, by its
method, its status and its duration. If the connection is closed before that, it is counted with
the status that was decided, else with 499. A head that is neither whole nor refused is no request
yet. Bytes are counted as they go over the wire.
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import ClassVar

from mogstored.connections.connection import Connection
from mogstored.http.message.request import Fields, Request
from mogstored.observability.access_log import AccessLog
from mogstored.observability.counters import (
    CLIENT_LOST,
    FIRST_BOUND_S,
    METHODS,
    ThreadCounters,
    bucket_of,
)
from mogstored.service import Service

# In the place of requests whose heads are refused, by what can be read of their methods.
_UNREAD = {
    name.encode(): Request(name.encode(), b"", Fields(keep_alive=False)) for name in METHODS
}


class CountingConnection(Connection):
    """A connection with at most one request under way: `request`, as soon as its head is whole.

    `began_at` is when the request did. `counters` are those of the thread that steps it.

    An answer that was not sent in one go has a status, `decided`; the others have 0. Of its bytes,
    `head_size` come before its content, and `sent` were given to the kernel.

    For the access log alone: `head` as received; `body_received`; `errno`, that of the disk, or 0.
    """

    __slots__ = (
        *("_client", "began_at", "body_received", "counters", "decided", "docroot_number"),
        *("errno", "head", "head_size", "request", "sent", "service"),
    )

    protocol: ClassVar[str] = "http"
    counters: ThreadCounters

    def __init__(self, sock: socket.socket, service: Service) -> None:
        super().__init__(sock, service.clients)
        self.service = service
        # Read for each request, and the service is shared by all threads.
        self.docroot_number = service.number
        self.request: Request | None = None
        self.began_at = 0.0
        self.decided = self.head_size = self.sent = 0
        self.head = b""
        self.body_received = self.errno = 0
        # Read now: the socket of a client that has reset it has no peer any more.
        self._client = "" if service.access_log is None else self._read_client()

    def note_unread(self, head: bytes) -> None:
        """Note that a request is refused whose head was not read; `head` is what there is."""
        if self.request is None:
            method = head.lstrip(b"\r\n").partition(b" ")[0]
            self.request = _UNREAD.get(method, _UNREAD[b"other"])
            self.head = head

    def note_begun(self, status: int, head_size: int) -> None:
        """Note that an answer is decided which will not be sent in one go."""
        self.decided, self.head_size, self.sent = status, head_size, 0

    def note_sent(self, size: int) -> None:
        """Count bytes of such an answer."""
        self.counters.sent += size
        self.sent += size

    def note_answered(self, status: int, body_sent: int) -> None:
        """Count the request, whose answer was sent whole."""
        # Each line of this runs for every request.
        now = self.active_at = monotonic()
        request, counters = self.request, self.counters
        if request is None:
            return
        self.request = None
        seconds = now - self.began_at
        try:
            cell = counters.cells[request.method][status]
        except KeyError:
            cell = counters.new_cell(request.method, status)
        # The comparison is five times as fast as the search.
        cell[0 if seconds <= FIRST_BOUND_S else bucket_of(seconds)] += 1
        cell[-1] += seconds
        log = self.service.access_log
        if log is not None:
            self._log_exchange(log, request, status, now, body_sent)
        self.decided = self.errno = self.body_received = 0
        self.waited_s = 0.0

    def close(self) -> None:
        try:
            self._note_lost()
        finally:
            super().close()

    def _note_lost(self) -> None:
        """Count what the connection leaves: it may be closed by any thread, even in a step."""
        request = self.request
        if request is None:
            return
        self.request = None
        status, ended_at = self.decided or CLIENT_LOST, monotonic()
        self.service.counters.note_lost_request(request.method, status, ended_at - self.began_at)
        log = self.service.access_log
        if log is not None:
            body_sent = max(0, self.sent - self.head_size) if self.decided else 0
            self._log_exchange(log, request, status, ended_at, body_sent)

    def _log_exchange(
        self, log: AccessLog, request: Request, status: int, ended_at: float, body_sent: int
    ) -> None:
        # The fields of `Exchange`.
        log.append(
            (
                ended_at,
                self._client or self._read_client(),
                request.head or self.head,
                status,
                body_sent,
                self.body_received,
                ended_at - self.began_at,
                (request.device or self.service.devices.of(request.path)).label,
                self.waited_s,
                errno.errorcode.get(self.errno, str(self.errno)) if self.errno else "",
            )
        )
        self.head = b""

    def _read_client(self) -> str:
        try:
            self._client = self.sock.getpeername()[0]
        except OSError:
            return ""
        return self._client
