"""A client's connection: its socket, and what all protocols do with one."""

from __future__ import annotations

import errno
import logging
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import ClassVar, Protocol

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.connections.time_limits import Wait

_log = logging.getLogger("mogstored")

# The client or the network in between is gone: no fault of the node.
_PEER_GONE = frozenset(
    {
        errno.ENOTCONN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.EHOSTDOWN,
    }
)

# For SO_LINGER: on, for 0 s.
_AT_ONCE = struct.pack("ii", 1, 0)

# Cached: enum attribute access is slow.
_PARKED = Next.PARKED

# A client silent for longer than this has no request on its way, as a rule.
SETTLE_S = 1.0


class ClientCount(Protocol):
    """Counts connections, so that a node that stops can wait for them."""

    def note_opened(self, connection: Connection | None = None) -> None:
        """Count one in; without `connection`, what one left behind."""

    def note_closed(self, connection: Connection | None = None) -> None:
        """Count one out; without `connection`, what one left behind."""


class Connection(ABC):
    """A socket with the protocol's state on top; stepped by one worker at a time.

    `active_at` is the time of the last step on the monotonic clock; `opened_at` is the same number
    until the first one. `turn_at` is when the present step began. `head_since` is when the head of
    a request began that is not whole yet, else 0. `waited_s` is how long its request has waited
    for a device.

    **Threads:** its owner's; the pool passes ownership from thread to thread. Other threads may
    read `active_at`, `head_since`, `expired` and what `is_idle` and `waits` read; the values may
    be stale, so a thread that acts on them first takes the connection out of the pool. `has_slot`
    is set by the thread that takes the connection out of a device's queue.
    """

    __slots__ = (
        *("active_at", "clients", "expired", "has_slot", "head_since", "opened_at", "sock"),
        *("turn_at", "waited_s"),
    )

    protocol: ClassVar[str]
    """`http` or `sidechannel`."""
    may_expire: ClassVar[bool] = False
    """Whether a client of this protocol may be given up when descriptors run out."""

    def __init__(self, sock: socket.socket, clients: ClientCount) -> None:
        self.sock = sock
        self.clients = clients
        self.opened_at = self.active_at = self.turn_at = monotonic()
        self.head_since = 0.0
        self.expired = False
        self.has_slot = False
        self.waited_s = 0.0

    def fileno(self) -> int:
        return self.sock.fileno()

    def step(self, buffers: Buffers) -> Next:
        began_at = self.turn_at = monotonic()
        try:
            verdict = self.advance(buffers)
        except (ConnectionError, TimeoutError) as error:
            return self._peer_gone(error)
        except OSError as error:
            if error.errno not in _PEER_GONE:
                raise
            return self._peer_gone(error)
        if verdict is not _PARKED and self.active_at <= began_at:
            self.active_at = monotonic()
        return verdict

    @abstractmethod
    def advance(self, buffers: Buffers) -> Next:
        """Do what the protocol can do now, and return what comes next.

        It may set `active_at`, if it reads the clock anyhow.
        """

    def is_idle(self) -> bool:
        """Say whether nothing of a request has arrived. Called by any thread at any time."""
        return False

    def waits(self) -> tuple[Wait, float] | None:
        """Return what it waits for from its client, and since when; None if that has no limit.

        Called by any thread at any time; what it says holds while the connection is armed.
        """
        return None

    def time_out(self, wait: Wait, limit_s: int) -> None:
        """Give its client up, which has taken longer than `limit_s`. Called as owner."""
        raise AssertionError("nothing is waited for")

    def has_been_silent(self, seconds: float) -> bool:
        """Say whether nothing has moved for so long. Called by any thread at any time."""
        return monotonic() - self.active_at > seconds

    def is_settled(self) -> bool:
        """Say whether a close now would not cross a request of the client.

        A client that was busy a moment ago, or has just come, is about to send one.
        """
        return self.is_idle() and has_settled(self.active_at)

    @abstractmethod
    def send_ahead(self) -> None:
        """Send what may come before the answer, if there is such. Called as owner."""

    @abstractmethod
    def cancel(self) -> None:
        """Let the next step close it; what it was about to do is dropped. Called as owner."""

    def leave_behind(self) -> Callable[[], None]:
        """Cancel it; return what releases what it holds on its device. Called as owner.

        The release counts as a connection until it has run: a node that stops waits for it.
        """
        clients, release = self.clients, self.detach()
        clients.note_opened()

        def clean_up() -> None:
            try:
                release()
            finally:
                clients.note_closed()

        return clean_up

    @abstractmethod
    def detach(self) -> Callable[[], None]:
        """Cancel it; return what releases what it holds, which its close then does not."""

    def hang_up(self) -> None:
        """Shut the socket down, so that the next step finds its end. Called as owner."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The client was quicker.
            return

    def discard_unsent(self) -> None:
        """Hang up; the close resets the connection, and the system keeps nothing for its client.

        Called as owner.
        """
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.hang_up()

    def peer(self) -> str:
        """Return the client's address as `ip:port`, for the log.

        A socket that was reset has none any more: what may be logged then is read before.
        """
        try:
            host, port = self.sock.getpeername()[:2]
        except OSError:
            return "unknown peer"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self) -> str:
        """Name the connection as the pool logs it."""
        return f"{type(self).__name__} from {self.peer()}"

    def close(self) -> None:
        try:
            self.clients.note_closed(self)
        finally:
            self.sock.close()

    def _peer_gone(self, error: OSError) -> Next:
        _log.debug("%s: %s", type(self).__name__, error)
        return Next.CLOSE


def has_settled(active_at: float) -> bool:
    """Say whether an idle client, last active at `active_at`, is unlikely to send soon."""
    return monotonic() - active_at > SETTLE_S
