"""What a connection counts: its requests, when each is over, and what the access log gets of it.

A request begins with the first byte that is received of it, or when the one before it is over.
It is over when the last byte of its answer was given to the kernel, and is counted by the end of
that step, by its method, its status and its duration. If the connection is closed before that,
it is counted then: with the status that was decided, else with 499. A head that is neither whole
nor refused is no request yet. Bytes are counted as they go over the wire, step by step.
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import ClassVar

from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection
from mogstored.http.message.request import Fields, Request
from mogstored.observability.access_log import AccessLog
from mogstored.observability.counters import CLIENT_LOST, FIRST_BOUND_S, METHODS, bucket_of
from mogstored.service import Service

# In the place of requests whose heads are refused, by what can be read of their methods.
_UNREAD = {
    name.encode(): Request(name.encode(), b"", Fields(keep_alive=False)) for name in METHODS
}


class CountingConnection(Connection):
    """A connection with at most one request under way: `request`, as soon as its head is whole.

    `status` is that of an answer which was sent whole in this step; before that it is `decided`.
    `sent` are the bytes of this step. `turn_at` is when the step began, and `began_at` when the
    request did.

    For the access log alone: `head` as received; `head_size`, the bytes of the answer before its
    content; `body_received`; `errno`, that of the disk, or 0.
    """

    __slots__ = (
        *("_client", "_sent_before", "began_at", "body_received", "decided", "docroot_number"),
        *("errno", "head", "head_size", "request", "sent", "service", "status", "turn_at"),
    )

    protocol: ClassVar[str] = "http"

    def __init__(self, sock: socket.socket, service: Service) -> None:
        super().__init__(sock, service.clients)
        self.service = service
        # Read for each request, and the service is shared by all threads.
        self.docroot_number = service.number
        self.request: Request | None = None
        self.began_at = self.turn_at = 0.0
        self.status = self.decided = 0
        self.sent = self._sent_before = 0
        self.head = b""
        self.head_size = self.body_received = self.errno = 0
        # Read now: the socket of a client that has reset it has no peer any more.
        self._client = "" if service.access_log is None else self._read_client()

    def note_unread(self, head: bytes) -> None:
        """Note that a request is refused whose head was not read; `head` is what there is."""
        if self.request is None:
            method = head.lstrip(b"\r\n").partition(b" ")[0]
            self.request = _UNREAD.get(method, _UNREAD[b"other"])
            self.head = head

    def note_step(self, buffers: Buffers) -> None:
        # Each line of this runs for every request.
        counters, status, request = buffers.counters, self.status, self.request
        counters.sent += self.sent
        if not status or request is None:
            self.active_at = monotonic()
            self._sent_before += self.sent
            self.sent = 0
            return
        seconds = self.active_at - self.began_at
        try:
            cell = counters.cells[request.method][status]
        except KeyError:
            cell = counters.new_cell(request.method, status)
        # The comparison is five times as fast as the search.
        cell[0 if seconds <= FIRST_BOUND_S else bucket_of(seconds)] += 1
        cell[-1] += seconds
        log = self.service.access_log
        if log is not None:
            self._log_exchange(log, request, status, self.active_at, self._sent_before + self.sent)
        self.request = None
        self.sent = self.status = self.decided = self._sent_before = 0
        self.errno = self.body_received = 0
        self.waited_s = 0.0

    def close(self) -> None:
        try:
            self._note_lost()
        finally:
            super().close()

    def _note_lost(self) -> None:
        """Count what the connection leaves: it may be closed by any thread, even in a step."""
        counters, request = self.service.counters, self.request
        if self.sent:
            counters.note_sent(self.sent)
        if request is None:
            return
        self.request = None
        status, ended_at = self.status or self.decided or CLIENT_LOST, monotonic()
        counters.note_lost_request(request.method, status, ended_at - self.began_at)
        log = self.service.access_log
        if log is not None:
            sent = self._sent_before + self.sent
            self._log_exchange(log, request, status, ended_at, max(sent, self.head_size))

    def _log_exchange(
        self, log: AccessLog, request: Request, status: int, ended_at: float, sent: int
    ) -> None:
        # The fields of `Exchange`.
        log.append(
            (
                ended_at,
                self._client or self._read_client(),
                request.head or self.head,
                status,
                sent - self.head_size,
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
