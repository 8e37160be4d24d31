"""From received bytes to a request, and from a request to its method.

A request that is one of the last ones again, byte for byte, is not parsed: clients ask for a
popular file with the same bytes each time.
"""

from __future__ import annotations

import socket
from time import monotonic

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.connections.time_limits import Wait
from mogstored.http import delete, get, late_clients, put
from mogstored.http.connection import HTTPConnection, Refusal
from mogstored.http.message.grammar import END_OF_HEAD
from mogstored.http.message.partial import PartialHead
from mogstored.http.message.request import BadRequest, Request, parse_request
from mogstored.service import Service

# Holds some hundred pipelined requests, and is cheap to copy.
_RECV_SIZE = 16 * 1024

# Requests up to this size are kept parsed, and so many for each worker thread.
_KEPT_SIZE = 512
_KEPT_COUNT = 1024

# Cached: enum attribute access is slow.
_READ, _CLOSE = Next.READ, Next.CLOSE


class HTTPSession(HTTPConnection):
    """The requests of one client, one after the other."""

    __slots__ = ("_partial",)

    def __init__(self, sock: socket.socket, service: Service, get_only: bool = False) -> None:
        super().__init__(sock, service, get_only)
        self._partial: PartialHead | None = None

    def is_idle(self) -> bool:
        return self.work is None and self._partial is None and not self.pending

    def waits(self) -> tuple[Wait, float] | None:
        work, active_at, head_since = self.work, self.active_at, self.head_since
        if work is not None:
            return None if work.wait is None else (work.wait, active_at)
        if head_since:
            return Wait.HEAD, head_since
        if self.pending:
            # Requests follow, but the answers before them fill the socket.
            return Wait.SEND, active_at
        return Wait.FIRST if active_at == self.opened_at else Wait.IDLE, active_at

    def time_out(self, wait: Wait, limit_s: int) -> None:
        if wait is Wait.HEAD:
            late_clients.report_head(self.peer(), limit_s)
            if self._partial is not None:
                self.note_unread(self._partial.first_bytes())
            self._partial, self.head_since = None, 0.0
            self.work = Refusal(408)
        elif wait is Wait.BODY and self.work is not None:
            self.work.time_out(self, limit_s)
        elif wait is Wait.SEND:
            subject = "an answer" if self.work is None else self.work.subject()
            late_clients.report_send(self.peer(), limit_s, subject)
            self.discard_unsent()
            if self.work is None:
                self.cancel()
        else:
            self.cancel()

    def advance(self, buffers: Buffers) -> Next:
        counters = self.counters = buffers.counters
        data = b""
        try:
            if self.work is not None:
                return self.work.advance(self, buffers)
            data = self.pending
            if not data:
                try:
                    data = self.sock.recv(_RECV_SIZE)
                except BlockingIOError:
                    return self._await_request()
                if not data:
                    return _CLOSE
                counters.received += len(data)
            if self._partial is None:
                self.began_at = self.turn_at
                if len(data) <= _KEPT_SIZE:
                    known = buffers.known[self.docroot_number]
                    request = known.requests.get(data)
                    if request is not None:
                        self.pending = b""
                        self.request = request
                        keep_alive = not (self.service.draining and self.is_last_answer())
                        return get.answer_again(self, request, keep_alive, known)
                end = data.find(END_OF_HEAD)
                if end >= 0:
                    return self._answer_first(data, end + len(END_OF_HEAD), buffers)
            whole = self._join(data)
            if whole is None:
                return _READ
            data = whole
            end = data.index(END_OF_HEAD) + len(END_OF_HEAD)
            return self._answer_first(data, end, buffers)
        except BadRequest as refused:
            self.note_unread(self._partial.first_bytes() if self._partial is not None else data)
            return self.refuse(refused.status)

    def _await_request(self) -> Next:
        if self.service.draining and self.is_settled():
            return _CLOSE
        return _READ

    def _answer_first(self, data: bytes, end: int, buffers: Buffers) -> Next:
        """Answer the first request of `data`, whose head is `data[:end]`."""
        self.pending = data[end:]
        request = self.request = parse_request(data, end, buffers.blocks)
        if self.service.access_log is not None:
            self.head = data[:end]
        method, fields = request.method, request.fields
        if method == b"PUT":
            return put.answer(self, request, buffers)
        known = buffers.known[self.docroot_number]
        keep_alive = fields.keep_alive and not (self.service.draining and self.is_last_answer())
        if fields.has_body:
            keep_alive = self.skip_body(fields, keep_alive)
        if method == b"GET":
            if fields.is_plain:
                # Most files are read once.
                request.file = self.service.recent_files.get(request.path)
                if request.file is not None:
                    request.device = known.device_of(request.path, self.service.devices)
                    if end == len(data) <= _KEPT_SIZE:
                        _keep(data, request, known.requests)
                    return get.answer_again(self, request, keep_alive, known)
            return get.answer(self, request, keep_alive, known)
        if method == b"HEAD":
            return get.answer(self, request, keep_alive, known)
        if method == b"DELETE":
            return delete.answer_delete(self, request, keep_alive)
        return delete.answer_mkcol(self, request, keep_alive)

    def _join(self, data: bytes) -> bytes | None:
        """Put `data` behind what came before; return both once a head is whole."""
        partial = self._partial
        if partial is None:
            partial = self._partial = PartialHead()
            self.head_since = monotonic()
        self.pending = b""
        whole = partial.feed(data)
        if whole is not None:
            self._partial, self.head_since = None, 0.0
        return whole


def _keep(data: bytes, request: Request, requests: dict[bytes, Request]) -> None:
    if len(requests) >= _KEPT_COUNT:
        # Which of them come again is not known.
        requests.clear()
    request.head = data
    requests[data] = request
