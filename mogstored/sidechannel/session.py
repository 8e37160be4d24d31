"""A sidechannel connection: commands one after the other, each answered before the next.

A command that cannot be answered within the step that read it becomes the session's
`work`: a digest, or the stream of a watcher. While a reply waits for its client nothing
more is read. An idle session has no work and holds no buffer.
"""

from __future__ import annotations

import logging
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from mogpoll import Next
from mogstored.connection import Connection, Workspace
from mogstored.pacing import Pace
from mogstored.sidechannel import actions
from mogstored.sidechannel.command import parse_command
from mogstored.sidechannel.lines import LineBuffer, LineTooLong

if TYPE_CHECKING:
    from mogstored.service import Service

_log = logging.getLogger("mogstored")

# Holds some hundred pipelined commands.
_RECV_SIZE = 4 * 1024
# struct linger: on, for no time. Closing then resets.
_RESET = struct.pack("ii", 1, 0)

_complaints = Pace(1.0)


class Work(Protocol):
    """What keeps a session busy over several steps."""

    def advance(self, session: SidechannelSession, workspace: Workspace) -> Next:
        """Go on with it; called with the session as owner."""

    def abandon(self, session: SidechannelSession) -> None:
        """Release what it holds: the session is closed before it was done."""


class _Gone:
    """In the place of a command whose answer nobody waits for any more."""

    def advance(self, _session: SidechannelSession, _workspace: Workspace) -> Next:
        return Next.CLOSE

    def abandon(self, _session: SidechannelSession) -> None:
        """Nothing is held."""


class SidechannelSession(Connection):
    """The commands of one tracker. It may be silent for as long as it likes."""

    __slots__ = ("_lines", "_unsent", "work")

    def __init__(self, sock: socket.socket, service: Service) -> None:
        super().__init__(sock, service)
        self.work: Work | None = None
        self._lines = LineBuffer()
        self._unsent = b""

    def advance(self, workspace: Workspace) -> Next:
        if self.work is not None:
            return self.work.advance(self, workspace)
        if not self.flush():
            return Next.WRITE
        try:
            line = self._lines.take()
            if line is None:
                verdict = self._receive()
                line = self._lines.take()
        except LineTooLong:
            return self._reset()
        if line is None:
            return verdict
        return actions.perform(self, parse_command(line), workspace)

    def is_idle(self) -> bool:
        return self.work is None and not self._lines and not self._unsent

    def begin(self, work: Work, workspace: Workspace) -> Next:
        """Take up what may need several steps."""
        self.work = work
        return work.advance(self, workspace)

    def answer(self, text: bytes) -> Next:
        """Send a line; the command is done, and the next one may come."""
        self.work = None
        return self.finish() if self.send(text + b"\r\n") else Next.WRITE

    def finish(self) -> Next:
        """Nothing more is to be said to this command; say what is next."""
        return Next.AGAIN if self._lines or self.service.draining else Next.READ

    def send(self, data: bytes) -> bool:
        """Send what the socket takes and keep the rest; True when there is no rest."""
        self._unsent += data
        return self.flush()

    def flush(self) -> bool:
        """Send the rest of what was to be sent; True when all of it has gone."""
        if not self._unsent:
            return True
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except BlockingIOError:
            return False
        return not self._unsent

    def ignore_input(self, workspace: Workspace) -> bool:
        """Drop what the client sends or has sent; False when it has hung up."""
        self._lines.clear()
        try:
            return self.sock.recv_into(workspace.buffer) > 0
        except BlockingIOError:
            return True

    def has_hung_up(self) -> bool:
        """Say whether the client has gone, as far as can be told with commands unread."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def forget(self) -> None:
        self.work = _Gone()

    def close(self) -> None:
        if self.work is not None:
            self.work.abandon(self)
        super().close()

    def _receive(self) -> Next:
        """Read once; return what is next unless that has completed a line."""
        try:
            data = self.sock.recv(_RECV_SIZE)
        except BlockingIOError:
            if self.service.draining and not self._lines:
                return Next.CLOSE
            return Next.READ
        self._lines.feed(data)
        return Next.READ if data else Next.CLOSE

    def _reset(self) -> Next:
        """Refuse without a word, so that the client notices while it is still writing."""
        if _complaints.is_due():
            _log.error("mgmt request too large from %s", self.peer())
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return Next.CLOSE
