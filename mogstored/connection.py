"""A client's connection: its socket, and what all protocols do with one."""

from __future__ import annotations

import errno
import logging
import mmap
import socket
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from mogpoll import Next

if TYPE_CHECKING:
    from mogstored.service import Service

_log = logging.getLogger("mogstored")

# The client or the network between went away. Nobody's fault, and nobody's concern.
_GONE = frozenset(
    {
        errno.ENOTCONN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.EHOSTDOWN,
    }
)

# A member of an enumeration is looked up in three steps, and this one after each step.
_PARKED = Next.PARKED

# A client that was silent for longer than this has no request on its way, as a rule.
_SETTLE_S = 1.0


class Workspace:
    """What each worker thread lends to the step it runs: memory for large bodies.

    `buffer` is one piece. `ring` is more of them, smaller ones, for who receives into one while
    others are still read; `buffer` is part of it.
    """

    BUFFER_SIZE: ClassVar[int] = 1024 * 1024
    RING_SIZE: ClassVar[int] = 4

    def __init__(self) -> None:
        # A page that is never touched costs nothing; a bytearray would be filled with zeros.
        # And the kernel fills pages four times as fast as memory that begins 16 bytes off.
        whole = memoryview(mmap.mmap(-1, 2 * self.BUFFER_SIZE, flags=mmap.MAP_PRIVATE))
        self.buffer = whole[: self.BUFFER_SIZE]
        part = len(whole) // self.RING_SIZE
        self.ring = [whole[begin : begin + part] for begin in range(0, len(whole), part)]


class Connection(ABC):
    """A socket with the protocol's state on top; stepped by one worker at a time.

    `active_at` is the time of the last step on the monotonic clock.

    **Threads:** its owner's alone, which the pool hands on from thread to thread. Others may
    read `active_at`, `expired` and what `is_idle` looks at, each whole, and may be late: who
    acts on it takes the connection out of the pool first. `has_slot` is set by whoever takes
    it out of a device's line.
    """

    __slots__ = ("active_at", "expired", "has_slot", "service", "sock")

    may_expire: ClassVar[bool] = False
    """Whether a client of this protocol may be given up when descriptors run out."""

    def __init__(self, sock: socket.socket, service: Service) -> None:
        self.sock = sock
        self.service = service
        self.active_at = monotonic()
        self.expired = False
        self.has_slot = False

    def fileno(self) -> int:
        return self.sock.fileno()

    def step(self, workspace: Workspace) -> Next:
        try:
            verdict = self.advance(workspace)
        except (ConnectionError, TimeoutError) as error:
            return self._vanish(error)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return self._vanish(error)
        if verdict is not _PARKED:
            self.active_at = monotonic()
        return verdict

    @abstractmethod
    def advance(self, workspace: Workspace) -> Next:
        """Do what the protocol can do now, and say what is next."""

    def is_idle(self) -> bool:
        """Say whether nothing of a request has arrived. Called by others at any time."""
        return False

    def has_been_silent(self, seconds: float) -> bool:
        """Say whether nothing has moved for so long. Called by others at any time."""
        return monotonic() - self.active_at > seconds

    def is_settled(self) -> bool:
        """Say whether the client can be sent away without crossing a request of its own.

        One that was busy a moment ago, or has just come, is about to say something.
        """
        return self.is_idle() and has_settled(self.active_at)

    @abstractmethod
    def forget(self) -> None:
        """Let the next step close it; what it was about to do is dropped. Called as owner."""

    def hang_up(self) -> None:
        """End the conversation, so that the next step finds it over. Called as owner."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The client was quicker.
            return

    def peer(self) -> str:
        """Return the client's address as `ip:port`, for the log."""
        try:
            host, port = self.sock.getpeername()[:2]
        except OSError:
            return "unknown peer"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        self.service.clients.note_closed(self)
        self.sock.close()

    def _vanish(self, error: OSError) -> Next:
        _log.debug("%s: %s", type(self).__name__, error)
        return Next.CLOSE


def has_settled(active_at: float) -> bool:
    """Say whether a client that was active then, and is idle, is about to say nothing."""
    return monotonic() - active_at > _SETTLE_S
