"""A raw HTTP client: sends given bytes and shows received ones."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Self

from tests.support.waiting import PATIENCE_S

END_OF_HEAD = b"\r\n\r\n"

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, parsed, with its raw head."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    raw_head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of the only field of that name; None when there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} is there more than once: {values}"
        return values[0] if values else None

    @property
    def keeps(self) -> bool:
        """Say whether the answer promises to keep the connection."""
        return self.header("Connection") == "keep-alive"


class Client:
    """A connection on which every wait has an end: `TimeoutError` after `timeout` seconds."""

    def __init__(self, addr: tuple[str, int], timeout: float = PATIENCE_S) -> None:
        self.sock = socket.create_connection(addr, timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timeout = timeout
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; with unread bytes this sends a reset."""
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Write all of `data`."""
        self.sock.sendall(data)

    def request(self, data: bytes, head: bool = False) -> Response:
        """Write `data` and read one answer."""
        self.send(data)
        return self.read_response(head)

    def read_response(self, head: bool = False) -> Response:
        """Read one answer: the head, then as much body as it announces.

        `head` says that it answers a HEAD, which has no body whatever is announced.
        """
        raw_head = self.read_head()
        status, reason, headers = parse_head(raw_head)
        length = 0
        if not head and status >= 200:
            length = int({name.lower(): value for name, value in headers}["content-length"])
        return Response(status, reason, headers, raw_head, self.read_exactly(length))

    def read_head(self) -> bytes:
        """Read up to and including the empty line."""
        while END_OF_HEAD not in self._unread:
            self._fill("a response head")
        end = self._unread.index(END_OF_HEAD) + len(END_OF_HEAD)
        head, self._unread = self._unread[:end], self._unread[end:]
        return head

    def read_exactly(self, length: int) -> bytes:
        """Read `length` bytes."""
        pieces = [self._unread[:length]]
        self._unread = self._unread[length:]
        missing = length - len(pieces[0])
        while missing:
            piece = self.sock.recv(min(missing, _PIECE))
            assert piece, f"end of file with {missing} of {length} bytes missing"
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def recv_once(self, size: int = 600) -> bytes:
        """Return the bytes of a single read, for tests of bytes that arrive together."""
        assert not self._unread, f"unread before: {self._unread!r}"
        return self.sock.recv(size)

    def read_eof(self, timeout: float | None = None) -> None:
        """Expect that nothing more comes and that the server ends the connection cleanly."""
        rest = self.read_to_eof(timeout)
        assert rest == b"", f"expected end of file, got {rest[:200]!r}"

    def read_to_eof(self, timeout: float | None = None) -> bytes:
        """Return everything up to the end of file; a reset raises `ConnectionResetError`."""
        pieces = [self._unread]
        self._unread = b""
        self.sock.settimeout(self._timeout if timeout is None else timeout)
        try:
            while piece := self.sock.recv(_PIECE):
                pieces.append(piece)
        finally:
            self.sock.settimeout(self._timeout)
        return b"".join(pieces)

    def expect_silence(self, seconds: float = 0.1) -> None:
        """Expect that the server sends nothing and keeps the connection.

        The one place in the suite where time matters: that nothing comes can only be
        seen by waiting. A slow machine makes it miss a fault, never invent one.
        """
        assert not self._unread, f"expected silence, got {self._unread[:200]!r}"
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(_PIECE)
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(self._timeout)
        raise AssertionError(f"expected silence, got {data[:200]!r}")

    def _fill(self, what: str) -> None:
        data = self.sock.recv(_PIECE)
        assert data, f"end of file instead of {what}, after {self._unread[:200]!r}"
        self._unread += data


def compose(method: str, target: str, *fields: str, version: str = "1.1") -> bytes:
    """Return the bytes of a request head: its line, the fields as given, the empty line."""
    lines = [f"{method} {target} HTTP/{version}", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def ask(addr: tuple[str, int], request: bytes) -> Response:
    """Return the answer to a request on a connection of its own.

    An answer that promises to close has to be followed by the end of file, and nothing else.
    """
    with Client(addr) as client:
        answer = client.request(request, head=request.startswith(b"HEAD "))
        if not answer.keeps:
            client.read_eof()
        return answer


GET_ROOT = compose("GET", "/")


def does_serve(addr: tuple[str, int]) -> bool:
    """Return whether a node answers there."""
    try:
        return ask(addr, GET_ROOT).status == 200
    except OSError:
        return False


def parse_head(raw_head: bytes) -> tuple[int, str, list[tuple[str, str]]]:
    """Split a response head into status, reason and fields, refusing anything sloppy."""
    assert raw_head.endswith(END_OF_HEAD)
    first, *lines = raw_head[: -len(END_OF_HEAD)].decode("ascii").split("\r\n")
    version, status, reason = first.split(" ", 2)
    assert version == "HTTP/1.1", first
    assert len(status) == 3, first
    headers = []
    for line in lines:
        name, colon, value = line.partition(": ")
        assert colon, f"no field: {line!r}"
        headers.append((name, value))
    return int(status), reason, headers
