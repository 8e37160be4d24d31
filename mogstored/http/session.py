"""An HTTP connection: requests one after the other, and the work that one has left over.

Most requests are answered within the step that read them. What cannot be finished then
becomes the session's `work`: a download whose client is slow, an upload whose body is on
its way, an answer that does not fit into the socket. An idle session has no work and holds
no buffer and no parser.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar, Protocol

from mogpoll import Next, silence_ms
from mogstored.connection import Connection, Workspace
from mogstored.http import delete, get, hot, hot_put, put, response
from mogstored.http.leftover import DISCARD_LIMIT, Discard, Flush, Gone, Linger
from mogstored.http.request import END_OF_HEAD, BadRequest, PartialHead, Request, parse_request

if TYPE_CHECKING:
    from mogstored.service import Service

# Holds some hundred pipelined requests, and is little to copy.
_RECV_SIZE = 16 * 1024

_G = b"G"[0]


class Work(Protocol):
    """What keeps a session busy over several steps."""

    def advance(self, session: HTTPSession, workspace: Workspace) -> Next:
        """Go on with it; called with the session as owner."""

    def abandon(self) -> None:
        """Release what it holds: the session is closed before it was done."""


class HTTPSession(Connection):
    """The requests of one client; `get_only` for the port that refuses to change files."""

    __slots__ = ("_discard", "_lingers", "_partial", "get_only", "pending", "work")

    may_expire: ClassVar[bool] = True

    def __init__(self, sock: socket.socket, service: Service, get_only: bool = False) -> None:
        super().__init__(sock, service)
        self.get_only = get_only
        # Bytes that were received and not looked at yet: pipelined requests, bodies.
        self.pending = b""
        self.work: Work | None = None
        self._partial: PartialHead | None = None
        self._discard: Discard | None = None
        self._lingers = False

    def advance(self, workspace: Workspace) -> Next:
        try:
            if self.work is not None:
                return self.work.advance(self, workspace)
            data = self.pending
            if not data:
                try:
                    data = self.sock.recv(_RECV_SIZE)
                except BlockingIOError:
                    return self._await_request()
                if not data:
                    return Next.CLOSE
            if self._partial is None and not self.service.draining:
                verdict = hot.answer(self, data) if data[0] == _G else hot_put.answer(self, data)
                if verdict is not None:
                    return verdict
            request = self._next_request(data)
            if request is None:
                return Next.READ
            return self._dispatch(request, workspace)
        except BadRequest as refused:
            return self.refuse(refused.status)

    def is_idle(self) -> bool:
        return self.work is None and self._partial is None and not self.pending

    def has_been_silent(self, seconds: float) -> bool:
        """Count the time in the backlog, too, if the client has nothing to wait for here."""
        if super().has_been_silent(seconds):
            return True
        if self.work is not None or (silence_ms(self.sock) or 0) <= seconds * 1000:
            return False
        try:
            # Something to read, were it only the end, is for a worker to see.
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            # Closed by its owner in this instant, or reset.
            return False
        return False

    def is_leaving(self) -> bool:
        """Say whether the next answer is the last: the node stops, and no request follows."""
        if not self.service.draining or self.pending:
            return False
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True

    def answer(self, data: bytes, keep_alive: bool) -> Next:
        """Send a whole answer, and go on to what comes after it."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.work = Flush(data[sent:], keep_alive)
            return Next.WRITE
        return self.finish(keep_alive)

    def refuse(self, status: int) -> Next:
        """Answer and end the conversation, though the client may still be writing."""
        self._lingers = True
        return self.answer(response.short(status, keep_alive=False), keep_alive=False)

    def finish(self, keep_alive: bool) -> Next:
        """The answer is sent; say what is next."""
        self.work = None
        if not keep_alive:
            if not (self._lingers or self.pending):
                return Next.CLOSE
            linger = self.work = Linger()
            return linger.begin(self)
        if self._discard is not None:
            self.work, self._discard = self._discard, None
            return Next.AGAIN
        if self.pending:
            return Next.AGAIN
        return Next.READ

    def forget(self) -> None:
        self.work = Gone()

    def close(self) -> None:
        if self.work is not None:
            self.work.abandon()
        super().close()

    def _await_request(self) -> Next:
        if self.service.draining and self.is_settled():
            return Next.CLOSE
        return Next.READ

    def _next_request(self, data: bytes) -> Request | None:
        """Take one request off `data`; None when it has not come whole."""
        end = -1
        if self._partial is None:
            end = data.find(END_OF_HEAD)
            if end < 0:
                self._partial = PartialHead()
        if self._partial is not None:
            self.pending = b""
            whole = self._partial.feed(data)
            if whole is None:
                return None
            self._partial = None
            data, end = whole, whole.find(END_OF_HEAD)
        end += len(END_OF_HEAD)
        self.pending = data[end:]
        return parse_request(data, end)

    def _dispatch(self, request: Request, workspace: Workspace) -> Next:
        method, fields = request.method, request.fields
        if method == b"PUT":
            return put.answer(self, request, workspace)
        keep_alive = fields.keep_alive and not self.is_leaving()
        if fields.has_body:
            # Nobody sends one with a reason; it is skipped if it is short.
            if fields.content_length is not None and fields.content_length > DISCARD_LIMIT:
                keep_alive, self._lingers = False, True
            elif keep_alive:
                self._discard = Discard(fields)
            else:
                self._lingers = True
        if method in (b"GET", b"HEAD"):
            return get.answer(self, request, keep_alive)
        if method == b"DELETE":
            return delete.answer_delete(self, request, keep_alive)
        return delete.answer_mkcol(self, request, keep_alive)
