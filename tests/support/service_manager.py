"""The service manager's side of the notification socket."""

from __future__ import annotations

import socket
import time
from typing import Self

from tests.support.waiting import PATIENCE_S


class ServiceManager:
    """A datagram socket and its messages; `name` is for NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: list[str] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
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
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        try:
            while True:
                other.sendto(b"STATUS=another unit", name)
        except BlockingIOError:
            return
