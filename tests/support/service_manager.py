"""The service manager's side of the notification socket."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from typing import Self

from tests.support.waiting import PATIENCE_S


class ServiceManager:
    """A datagram socket and its messages; `name` is for NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: list[str] = []
        self._sock = _unix_datagrams()
        self._sock.bind("\0" + name[1:] if name.startswith("@") else name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def wait_for(self, line: str, timeout: float = PATIENCE_S) -> str:
        """Return the next message that has this line."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._receive(deadline - time.monotonic())
            assert message is not None, f"no {line!r} within {timeout} s: {self.received}"
            if line in message.split("\n"):
                return message

    def is_silent(self, seconds: float) -> bool:
        """Return whether no message comes for so long."""
        return self._receive(seconds) is None

    def drain(self) -> None:
        """Receive the messages that have arrived."""
        while self._receive(0.0) is not None:
            pass

    def _receive(self, timeout: float) -> str | None:
        self._sock.settimeout(max(0.0, timeout))
        try:
            message = self._sock.recv(4096).decode()
        except (BlockingIOError, TimeoutError):
            return None
        self.received.append(message)
        return message


def fill(name: str) -> None:
    """Fill the queue of the socket, as other units do at boot."""
    with ExitStack() as senders:
        # What one may have under way can be less than what the queue takes.
        while _sent_by(senders.enter_context(_unix_datagrams()), name):
            pass


def _sent_by(sender: socket.socket, name: str) -> int:
    """Return how many messages of this sender were taken."""
    sender.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while sender.sendto(b"STATUS=another unit", name):
            sent += 1
    return sent


def _unix_datagrams() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
