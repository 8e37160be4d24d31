"""The base of a sidechannel connection: what every command needs to answer its client.

A command that cannot be answered within the step that read it becomes the connection's
`work`: a size, a digest, or the stream of a watcher. Nothing more is read while a reply waits
for its client. An idle connection has no work and holds no buffer.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from mogpoll import Next
from mogpoll.system.hangups import hung_up
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection
from mogstored.sidechannel.lines import LineBuffer

if TYPE_CHECKING:
    from mogstored.service import Service


class Work(Protocol):
    """A command that takes several steps."""

    def advance(self, connection: SidechannelConnection, buffers: Buffers) -> Next:
        """Go on with it, as the owner of the connection."""

    def abandon(self, connection: SidechannelConnection) -> None:
        """Release what it holds: the connection closes before it is done."""


class _Abandoned:
    """Replaces the work of a connection that the next step closes."""

    def advance(self, _connection: SidechannelConnection, _buffers: Buffers) -> Next:
        return Next.CLOSE

    def abandon(self, _connection: SidechannelConnection) -> None:
        """Nothing is held."""


class SidechannelConnection(Connection):
    """One client of the sidechannel, often a tracker. It may be silent for ever.

    `reply_begin` is the part of a long command's reply that is known before its result.
    """

    __slots__ = ("_begun", "_unsent", "lines", "reply_begin", "service", "work")

    protocol: ClassVar[str] = "sidechannel"

    def __init__(self, sock: socket.socket, service: Service) -> None:
        super().__init__(sock, service.clients)
        self.service = service
        self.work: Work | None = None
        self.lines = LineBuffer()
        self._unsent = b""
        # `_begun` is `reply_begin` once that was sent ahead.
        self.reply_begin = self._begun = b""

    def is_idle(self) -> bool:
        return self.work is None and not self.lines and not self._unsent

    def begin(self, work: Work, buffers: Buffers, reply_begin: bytes = b"") -> Next:
        """Start a command that may take several steps."""
        self.work, self.reply_begin = work, reply_begin
        return work.advance(self, buffers)

    def answer(self, text: bytes) -> Next:
        """Send a line without its end; the command is done, and the next one may come."""
        self.work = None
        text = text.removeprefix(self._begun)
        self.reply_begin = self._begun = b""
        return self.finish() if self.send(text + b"\r\n") else Next.WRITE

    def finish(self) -> Next:
        """End a command that has no more to say; return what is next."""
        return Next.AGAIN if self.lines or self.service.draining else Next.READ

    def send(self, data: bytes) -> bool:
        """Send what the socket takes and keep the rest; True when there is no rest."""
        self._unsent += data
        return self.flush()

    def flush(self) -> bool:
        """Send the rest; True when all of it is sent."""
        if not self._unsent:
            return True
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except BlockingIOError:
            return False
        return not self._unsent

    def ignore_input(self, buffers: Buffers) -> bool:
        """Drop what the client has sent; False when it sends no more."""
        self.lines.clear()
        try:
            return self.sock.recv_into(buffers.buffer) > 0
        except BlockingIOError:
            return True

    def is_writable(self) -> bool:
        """Say whether AGAIN lets the next step follow soon."""
        looked_at = select.poll()
        looked_at.register(self.sock, select.POLLOUT)
        return bool(looked_at.poll(0))

    def has_hung_up(self) -> bool:
        """Say whether the client of a command that takes long has gone.

        The end of what it sends is no sign: `nc -N` ends its sending and waits. But a client
        that has closed answers the beginning of a reply with a reset, so that is sent ahead.
        """
        try:
            if not self._begun and self._has_ended():
                self.send_ahead()
        except OSError:
            return True
        return bool(hung_up([self.sock.fileno()]))

    def send_ahead(self) -> None:
        if self.reply_begin and not self._begun:
            self._begun = self.reply_begin
            # An error is for the next look at the socket.
            with suppress(OSError):
                self.send(self._begun)

    @property
    def has_begun_reply(self) -> bool:
        """Whether the client has the beginning of the reply already."""
        return bool(self._begun)

    def cancel(self) -> None:
        self.work = _Abandoned()

    def detach(self) -> Callable[[], None]:
        work, self.work = self.work or _Abandoned(), _Abandoned()
        return partial(work.abandon, self)

    def close(self) -> None:
        try:
            if self.work is not None:
                self.work.abandon(self)
        finally:
            super().close()

    def _has_ended(self) -> bool:
        """Say whether the client sends no more; False while commands before the end are unread."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
