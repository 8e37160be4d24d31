"""A tracker's HTTP connections: its requests, and when it gives a connection up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

from tests.support.http import Client
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from tests.support.daemon import Address
    from tests.support.http import Response

USER_AGENT = "User-Agent: MogileFS::Connection::HTTP/2.73"
# A tracker counts a host as unreachable after this long without an answer.
AT_ONCE_S = 0.5
BODY_TYPE = "Content-Type: application/octet-stream"


class NoReply(Exception):
    """The node has closed the connection before the first byte of an answer."""


class Pooled(Client):
    """One connection of a tracker's pool, with its first and its later requests."""

    def __init__(self, addr: Address | None, timeout: float = PATIENCE_S) -> None:
        assert addr is not None, "the node does not listen for this"
        super().__init__(addr, timeout)
        self._host = f"{addr[0]}:{addr[1]}"
        self.has_served = False

    def ask(self, method: str, target: str, *fields: str, body: bytes | None = None) -> Response:
        """Send as the pooled client of a tracker does, and return the answer.

        **Raises:** `NoReply`. An answer that ends too early is an `AssertionError`.
        """
        self._see_that_nothing_is_there()
        lines = [f"{method} {target} HTTP/{'1.0' if method == 'GET' else '1.1'}"]
        if self.has_served:
            lines.append("Connection: keep-alive")
        else:
            lines += ["Keep-Alive: 300", "Connection: Keep-Alive, keep-alive"]
        lines += [f"Host: {self._host}", USER_AGENT]
        if body is not None:
            lines += [BODY_TYPE, *fields, f"Content-Length: {len(body)}"]
        elif method == "MKCOL":
            lines.append("Content-Length: 0")
        head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
        try:
            self.send(head.encode() + (body or b""))
            begun = self.sock.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            begun = b""
        if not begun:
            raise NoReply
        answer = self.read_response(head=method == "HEAD")
        self.has_served = True
        return answer

    def _see_that_nothing_is_there(self) -> None:
        """Check for unexpected bytes, as a tracker does before it uses a connection again."""
        assert not self._unread, f"behind the last answer: {self._unread[:200]!r}"
        self.sock.settimeout(0.0)
        try:
            found = self.sock.recv(1)
        except BlockingIOError:
            return
        except ConnectionError:
            found = b""
        finally:
            self.sock.settimeout(self._timeout)
        assert not found, f"not asked for: {found!r}"
        raise NoReply


class Tracker:
    """One client of a pool: keeps its connection, and reconnects when trackers do."""

    def __init__(self, addr: Address | None) -> None:
        self._addr = addr
        self._kept: Pooled | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def ask(self, method: str, target: str, body: bytes | None = None) -> Response:
        """Return an answer; tries a second time when a connection that has served is lost.

        **Raises:** `NoReply` when a new connection ends in silence, `ConnectionError` when
        none is to be had.
        """
        if self._kept is not None:
            try:
                return self._ask(self._kept, method, target, body)
            except NoReply:
                self.close()
        self._kept = Pooled(self._addr)
        return self._ask(self._kept, method, target, body)

    def _ask(self, connection: Pooled, method: str, target: str, body: bytes | None) -> Response:
        answer = connection.ask(method, target, body=body)
        if not answer.keeps:
            self.close()
        return answer
