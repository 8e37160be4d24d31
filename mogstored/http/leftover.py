"""What a session may have left to do around a request: flush, discard, linger, or end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from mogpoll import Next
from mogstored.connection import Workspace
from mogstored.http.chunked import ChunkedDecoder
from mogstored.http.request import Fields

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession

# A body that nobody asked for is read and dropped up to this size, to keep the connection.
DISCARD_LIMIT = 64 * 1024

# After a last answer: what a client may still write before its connection is cut. One that
# is cut at once may never see the answer, for the reset overtakes it.
_LINGER_LIMIT = 64 * 1024
LINGER_S = 1.0


class Flush:
    """The rest of an answer that did not fit into the socket."""

    def __init__(self, rest: bytes, keep_alive: bool) -> None:
        self._rest = rest
        self._keep_alive = keep_alive

    def advance(self, session: HTTPSession, _workspace: Workspace) -> Next:
        return session.answer(self._rest, self._keep_alive)

    def abandon(self) -> None:
        """Nothing is held."""


class Discard:
    """The body of a request that has no use for one, between it and the next request."""

    def __init__(self, fields: Fields) -> None:
        self._decoder = ChunkedDecoder() if fields.chunked else None
        self._left = fields.content_length or 0
        self._budget = DISCARD_LIMIT

    def advance(self, session: HTTPSession, workspace: Workspace) -> Next:
        pending = session.pending
        while True:
            if pending:
                taken = self._take(memoryview(pending))
                pending = pending[taken:]
            session.pending = pending
            if self._done():
                return session.finish(keep_alive=True)
            if self._budget < 0:
                return Next.CLOSE
            try:
                size = session.sock.recv_into(workspace.buffer, DISCARD_LIMIT)
            except BlockingIOError:
                return Next.READ
            if not size:
                return Next.CLOSE
            pending = bytes(workspace.buffer[:size])

    def abandon(self) -> None:
        """Nothing is held."""

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


class Linger:
    """After the last answer: read and drop until the client ends, for a while."""

    def __init__(self) -> None:
        self._dropped = 0

    def begin(self, session: HTTPSession) -> Next:
        self._dropped = len(session.pending)
        session.pending = b""
        session.sock.shutdown(socket.SHUT_WR)
        session.service.lingerers.add(session)
        return Next.READ

    def advance(self, session: HTTPSession, workspace: Workspace) -> Next:
        while self._dropped <= _LINGER_LIMIT:
            try:
                size = session.sock.recv_into(workspace.buffer)
            except BlockingIOError:
                return Next.READ
            if not size:
                return Next.CLOSE
            self._dropped += size
        return Next.CLOSE

    def abandon(self) -> None:
        """Nothing is held."""


class Gone:
    """In the place of a request that nobody waits for any more."""

    def advance(self, _session: HTTPSession, _workspace: Workspace) -> Next:
        return Next.CLOSE

    def abandon(self) -> None:
        """Nothing is held."""
