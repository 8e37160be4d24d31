"""One connection to an admin listener: reads a head, waits for its answer, sends it.

Nothing here blocks, and every state ends in time: a head that stays half-sent, an answer that is
not read, a client that stays after the last answer.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from enum import Enum, auto, unique
from time import monotonic

from mogstored.admin.http.message import Answer, HeadReader, Refused, Request

_RECV_SIZE = 16 * 1024
# More than the interval of scrapes, so that scrapers keep their connection.
IDLE_S = 75.0
# From the first byte of a head to its last.
HEAD_S = 5.0
# Without progress, and for an answer in all.
STALL_S = 10.0
_SEND_S = 60.0
# After a last answer: how long, and how much, a client may still write.
LINGER_S = 1.0
_LINGER_LIMIT = 256 * 1024


@unique
class Want(Enum):
    """What a session waits for."""

    READ = "to read"
    WRITE = "to write"
    ANSWER = "for its answer"
    CLOSE = "for nothing: it is over"


@unique
class _State(Enum):
    READING = auto()
    WAITING = auto()
    SENDING = auto()
    LINGERING = auto()


def refusal(status: int) -> Answer:
    """Return the answer to a request that was not understood."""
    return Answer(status, "text/plain; charset=utf-8", f"{status}\n".encode())


class Session:
    """`ask` is called with each request, and calls `answer`, then or later.

    `deadline` is when `expire` is to be called, on the monotonic clock.
    """

    # Of the request that is answered.
    _keep_alive: bool
    _lingers: bool
    _is_head: bool
    _send_until: float

    def __init__(self, sock: socket.socket, ask: Callable[[Session, Request], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._ask = ask
        self._state = _State.READING
        self._reader = HeadReader()
        self._pending = b""
        self._dropped = 0
        # The head of the answer, and its content, which other sessions may share.
        self._unsent: list[memoryview] = []
        self.is_last = False
        """Set to end the connection after its next answer."""
        self.deadline = monotonic() + IDLE_S

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has arrived."""
        return self._state is _State.READING and self._reader.is_empty and not self._pending

    @property
    def is_awaiting(self) -> bool:
        return self._state is _State.WAITING

    def fileno(self) -> int:
        return self._sock.fileno()

    def step(self) -> Want:
        """Do what can be done now."""
        try:
            if self._state is _State.SENDING:
                return self._send()
            if self._state is _State.READING:
                return self._read()
            if self._state is _State.LINGERING:
                return self._drop()
        except OSError:
            # The client is gone.
            return self._end()
        return Want.ANSWER

    def answer(self, answer: Answer) -> None:
        """Answer the request that `ask` was called with; `step` is due then."""
        keep_alive = self._keep_alive = self._keep_alive and not self.is_last
        self._unsent = [memoryview(answer.head(keep_alive=keep_alive))]
        if answer.content and not self._is_head:
            self._unsent.append(memoryview(answer.content))
        self._state = _State.SENDING
        now = monotonic()
        self._send_until = now + _SEND_S
        self.deadline = now + STALL_S

    def expire(self) -> Want:
        """Act on the deadline."""
        if self._state is _State.READING and not self.is_idle:
            self._refuse(408)
            return self.step()
        return self._end()

    def close(self) -> None:
        self._sock.close()

    def _read(self) -> Want:
        data, self._pending = self._pending, b""
        if not data:
            try:
                data = self._sock.recv(_RECV_SIZE)
            except BlockingIOError:
                return Want.READ
            if not data:
                return self._end()
        was_empty = self._reader.is_empty
        try:
            whole = self._reader.feed(data)
        except Refused as refused:
            self._refuse(refused.status)
            return self._send()
        if whole is None:
            if was_empty:
                self.deadline = monotonic() + HEAD_S
            return Want.READ
        request, self._pending = whole
        self._keep_alive = request.keep_alive
        self._is_head = request.method == "HEAD"
        # A body is not read: closing at once might destroy the answer.
        self._lingers = not request.keep_alive
        self._state = _State.WAITING
        self._ask(self, request)
        return self.step()

    def _refuse(self, status: int) -> None:
        self._keep_alive, self._lingers, self._is_head = False, True, False
        self.answer(refusal(status))

    def _send(self) -> Want:
        while self._unsent:
            try:
                sent = self._sock.sendmsg(self._unsent)
            except BlockingIOError:
                return Want.WRITE
            while self._unsent and sent >= len(self._unsent[0]):
                sent -= len(self._unsent.pop(0))
            if self._unsent:
                self._unsent[0] = self._unsent[0][sent:]
                self.deadline = min(monotonic() + STALL_S, self._send_until)
                return Want.WRITE
        if not self._keep_alive:
            return self._linger() if self._lingers or self._pending else self._end()
        self._reader = HeadReader()
        self._state = _State.READING
        self.deadline = monotonic() + (HEAD_S if self._pending else IDLE_S)
        # Further requests that have arrived already wait until others have had their turn.
        return Want.WRITE if self._pending else Want.READ

    def _linger(self) -> Want:
        self._pending = b""
        self._state = _State.LINGERING
        self.deadline = monotonic() + LINGER_S
        self._sock.shutdown(socket.SHUT_WR)
        return Want.READ

    def _drop(self) -> Want:
        try:
            data = self._sock.recv(_RECV_SIZE)
        except BlockingIOError:
            return Want.READ
        self._dropped += len(data)
        return Want.READ if data and self._dropped < _LINGER_LIMIT else self._end()

    def _end(self) -> Want:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        return Want.CLOSE
