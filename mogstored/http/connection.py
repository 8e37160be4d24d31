"""An HTTP connection's means: answer, refuse, skip a body, linger, and what is left to do.

Most requests are answered within the step that read them. What cannot be finished then
becomes the connection's `work`: a download whose client is slow, an upload whose body is on
its way, an answer that does not fit into the socket. An idle connection has no work and holds
no buffer and no parser.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import ClassVar

from mogpoll import Next, silence_ms
from mogpoll.system.tcpinfo import acknowledged_ms, undelivered
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import SETTLE_S
from mogstored.connections.time_limits import Wait
from mogstored.http import late_clients
from mogstored.http.counting import CountingConnection
from mogstored.http.message import response
from mogstored.http.message.chunked import ChunkedDecoder
from mogstored.http.message.request import BadRequest, Fields
from mogstored.service import Service

# A file up to this size is read into memory; a longer one is left to sendfile.
SMALL = 16 * 1024
# Content up to this size is copied behind its head: 0.1 us cheaper than two pieces at 4 KiB, and
# 0.2 us dearer at 16 KiB.
_JOINED = 8 * 1024

# A body without a use is read and dropped up to this size, to keep the connection.
_DISCARD_LIMIT = 64 * 1024

# After a last answer: what a client may still write before its connection is closed. One that
# is closed at once may never see the answer, since the reset overtakes it.
_LINGER_LIMIT = 64 * 1024
LINGER_S = 1.0

# How long a node that stops waits for a client to read what it has sent.
_MOST_TAKING_S = 60.0

# Cached: enum attribute access is slow.
_READ, _AGAIN = Next.READ, Next.AGAIN


class Work(ABC):
    """What keeps a connection busy over several steps."""

    takes_interim: bool = False
    """Whether the client may be sent a 100 before its answer, as HTTP/1.1 has it."""
    wait: ClassVar[Wait | None] = None
    """What it waits for from the client while it is armed; None if that has no limit."""

    @abstractmethod
    def advance(self, connection: HTTPConnection, buffers: Buffers) -> Next:
        """Go on with it; called by the owner."""

    def subject(self) -> str:
        """Return what is sent or received, for the log."""
        return "an answer"

    def time_out(self, connection: HTTPConnection, limit_s: int) -> None:
        """Log that a body has not come within `limit_s`, and see to its end. Called as owner."""
        raise AssertionError("no body is waited for")

    def abandon(self) -> None:  # noqa: B027 - most hold nothing
        """Release what it holds: the connection is closed before the work was done."""


class HTTPConnection(CountingConnection):
    """What all methods do with a client; `get_only` for the port that refuses to change files."""

    __slots__ = ("_discard", "_lingers", "_taken_at", "get_only", "pending", "work")

    may_expire: ClassVar[bool] = True

    def __init__(self, sock: socket.socket, service: Service, get_only: bool = False) -> None:
        super().__init__(sock, service)
        self.get_only = get_only
        # Bytes that were received and not parsed yet: pipelined requests, bodies.
        self.pending = b""
        self.work: Work | None = None
        self._discard: Discard | None = None
        self._lingers = False
        # When the client's system last acknowledged something of its last answer.
        self._taken_at = 0.0

    def is_settled(self) -> bool:
        """Say the same of a client that reads slowly: it asks again when it has read it all.

        The node may have sent the last of a long answer, and promised to keep the connection,
        long before. While the client's system does not have everything, the answer is under
        way. The rest is in there then, and takes about as long again to be read.
        """
        if not super().is_settled():
            return False
        now = monotonic()
        acknowledged = acknowledged_ms(self.sock)
        if undelivered(self.sock):
            self._taken_at = now
            # A client whose network is gone acknowledges nothing any more.
            return acknowledged is not None and acknowledged > _MOST_TAKING_S * 1000
        if acknowledged is not None:
            self._taken_at = now - acknowledged / 1000
        taking_s = self._taken_at - self.active_at
        if taking_s <= 0 or now - self.active_at > _MOST_TAKING_S:
            return True
        return now - self._taken_at > max(SETTLE_S, 2 * taking_s)

    def has_been_silent(self, seconds: float) -> bool:
        """Count the time in the backlog, too, if the client has nothing to wait for here."""
        if super().has_been_silent(seconds):
            return True
        if self.work is not None or (silence_ms(self.sock) or 0) <= seconds * 1000:
            return False
        try:
            # Something to read, be it only the end, is for a worker to handle.
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            # Closed by its owner in this instant, or reset.
            return False
        return False

    def is_last_answer(self) -> bool:
        """Say, while the node stops, whether no request follows the one to be answered."""
        if self.pending:
            return False
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except OSError:
            # Nothing there. Or reset: sending the answer will show that.
            return True

    def answer(self, status: int, head: bytes, keep_alive: bool, content: bytes = b"") -> Next:
        """Send a whole answer, and go on to what comes after it."""
        body_size = len(content)
        try:
            if body_size > _JOINED:
                sent = self.sock.sendmsg((head, content))
            else:
                sent = self.sock.send(head + content if content else head)
        except BlockingIOError:
            sent = 0
        if sent < len(head) + body_size:
            self.note_begun(status, len(head))
            self.note_sent(sent)
            self.work = Flush((head + content)[sent:], keep_alive)
            return Next.WRITE
        self.counters.sent += sent
        self.note_answered(status, body_size)
        if keep_alive and self._discard is None:
            # As `finish`, without the call.
            self.work = None
            return _AGAIN if self.pending else _READ
        return self.finish(keep_alive)

    def answer_short(self, status: int, keep_alive: bool) -> Next:
        """Send an answer without content."""
        return self.answer(status, response.short(status, keep_alive), keep_alive)

    def refuse(self, status: int) -> Next:
        """Answer and end the conversation, though the client may still be writing."""
        self._lingers = True
        self.note_unread(b"")
        return self.answer_short(status, keep_alive=False)

    def skip_body(self, fields: Fields, keep_alive: bool) -> bool:
        """Drop the body of the request after its answer; return whether the connection is kept.

        It is not if the body is long.
        """
        if fields.content_length is not None and fields.content_length > _DISCARD_LIMIT:
            keep_alive = False
        if keep_alive:
            self._discard = Discard(fields)
        else:
            self._lingers = True
        return keep_alive

    def end_answer(self, keep_alive: bool) -> Next:
        """Go on after the last byte of an answer that was not sent in one go."""
        self.note_answered(self.decided, self.sent - self.head_size)
        return self.finish(keep_alive)

    def finish(self, keep_alive: bool) -> Next:
        """Return what comes after an answer that is sent."""
        self.work = None
        if not keep_alive:
            if not (self._lingers or self.pending):
                return Next.CLOSE
            linger = self.work = Linger()
            return linger.begin(self)
        if self._discard is not None:
            self.work, self._discard = self._discard, None
            return _AGAIN
        return _AGAIN if self.pending else _READ

    def send_ahead(self) -> None:
        """Send a 100, which any client of HTTP/1.1 can read (RFC 9110 section 15.2)."""
        work = self.work
        if work is None or not work.takes_interim:
            return
        work.takes_interim = False
        with suppress(OSError):
            sent = self.sock.send(response.CONTINUE)
            self.service.counters.note_sent(sent)
            if sent < len(response.CONTINUE):
                # A client that has left so much unread is not one that waits.
                self.hang_up()

    def cancel(self) -> None:
        self.work = Abandoned()

    def detach(self) -> Callable[[], None]:
        work, self.work = self.work or Abandoned(), Abandoned()
        return work.abandon

    def close(self) -> None:
        try:
            if self.work is not None:
                self.work.abandon()
        finally:
            super().close()


class Flush(Work):
    """The rest of an answer that did not fit into the socket."""

    wait = Wait.SEND

    def __init__(self, rest: bytes, keep_alive: bool) -> None:
        self._rest = rest
        self._keep_alive = keep_alive

    def advance(self, connection: HTTPConnection, _buffers: Buffers) -> Next:
        try:
            sent = connection.sock.send(self._rest)
        except BlockingIOError:
            return Next.WRITE
        connection.note_sent(sent)
        self._rest = self._rest[sent:]
        return Next.WRITE if self._rest else connection.end_answer(self._keep_alive)


class Discard(Work):
    """The body of a request without a use for one, in front of the next request."""

    wait = Wait.BODY

    def __init__(self, fields: Fields) -> None:
        self._decoder = ChunkedDecoder() if fields.chunked else None
        self._left = fields.content_length or 0
        self._budget = _DISCARD_LIMIT

    def advance(self, connection: HTTPConnection, buffers: Buffers) -> Next:
        pending = connection.pending
        while True:
            connection.pending = pending
            if pending:
                try:
                    taken = self._take(memoryview(pending))
                except BadRequest:
                    # Another answer would be taken for that of the next request.
                    return connection.finish(keep_alive=False)
                connection.pending = pending = pending[taken:]
            if self._done():
                return connection.finish(keep_alive=True)
            if self._budget < 0:
                return Next.CLOSE
            try:
                size = connection.sock.recv_into(buffers.buffer, _DISCARD_LIMIT)
            except BlockingIOError:
                return Next.READ
            if not size:
                return Next.CLOSE
            buffers.counters.received += size
            pending = bytes(buffers.buffer[:size])

    def time_out(self, connection: HTTPConnection, limit_s: int) -> None:
        # Its request was answered.
        late_clients.report_body(connection.peer(), limit_s)
        connection.cancel()

    def _take(self, data: memoryview) -> int:
        if self._decoder is not None:
            _, taken = self._decoder.decode(data)
        else:
            taken = min(self._left, len(data))
            self._left -= taken
        self._budget -= taken
        return taken

    def _done(self) -> bool:
        return self._decoder.done if self._decoder is not None else not self._left


class Linger(Work):
    """After the last answer: read and drop until the client ends, for `LINGER_S` at most."""

    def begin(self, connection: HTTPConnection) -> Next:
        self._dropped = len(connection.pending)
        connection.pending = b""
        connection.sock.shutdown(socket.SHUT_WR)
        connection.service.lingering.add(connection)
        return Next.READ

    def advance(self, connection: HTTPConnection, buffers: Buffers) -> Next:
        while self._dropped <= _LINGER_LIMIT:
            try:
                size = connection.sock.recv_into(buffers.buffer)
            except BlockingIOError:
                return Next.READ
            if not size:
                return Next.CLOSE
            buffers.counters.received += size
            self._dropped += size
        return Next.CLOSE


class Refusal(Work):
    """In the place of a request that came too slowly."""

    def __init__(self, status: int) -> None:
        self._status = status

    def advance(self, connection: HTTPConnection, _buffers: Buffers) -> Next:
        return connection.refuse(self._status)


class Abandoned(Work):
    """In the place of a request whose client is gone: closes."""

    def advance(self, _connection: HTTPConnection, _buffers: Buffers) -> Next:
        return Next.CLOSE
