"""The service manager's side of the notification socket."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Self

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from types import TracebackType


class ServiceManager:
    """A datagram socket, and what was sent to it; `name` is for NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[str] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + name[1:] if name.startswith("@") else name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sock.close()

    def wait_for(self, line: str, timeout: float = PATIENCE_S) -> str:
        """Return the next message that has this line."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._receive(deadline - time.monotonic())
            assert message is not None, f"no {line!r} within {timeout} s: {self.heard}"
            if line in message.split("\n"):
                return message

    def is_silent(self, seconds: float) -> bool:
        """Say whether nothing comes for so long."""
        return self._receive(seconds) is None

    def drain(self) -> None:
        """Receive what has come already."""
        while self._receive(0.0) is not None:
            pass

    def _receive(self, timeout: float) -> str | None:
        self._sock.settimeout(max(0.0, timeout))
        try:
            message = self._sock.recv(4096).decode()
        except (BlockingIOError, TimeoutError):
            return None
        self.heard.append(message)
        return message
