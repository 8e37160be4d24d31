"""Requests to an admin listener, and the heads of answers. Pure: no sockets.

The node's own grammar knows the methods and paths of MogileFS only, and refuses what browsers and
scrapers send. So llhttp (`httptools`) alone judges a head here: it is fuzzed and strict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httptools

from mogstored.http.message.dates import date_now

# A browser's cookies for the same host may be long.
MAX_HEAD = 32 * 1024
_VERSIONS = ("1.0", "1.1")
_ALWAYS = {"X-Content-Type-Options": "nosniff"}
END_OF_HEAD = b"\r\n\r\n"


class Refused(Exception):
    """A request that cannot be answered; `status` says why."""

    def __init__(self, status: int) -> None:
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `path` has neither query nor authority."""

    method: str
    path: str
    accept: str
    keep_alive: bool
    """Whether another request may follow on this connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, but for what depends on the connection."""

    status: int
    content_type: str
    content: bytes
    fields: dict[str, str] = field(default_factory=dict)

    def head(self, *, keep_alive: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Date: {date_now().decode()}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.content)}",
            *(f"{name}: {value}" for name, value in (_ALWAYS | self.fields).items()),
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
        ]
        return "\r\n".join((*lines, "", "")).encode()


class HeadReader:
    """Reads one request head that arrives in pieces."""

    _keeps_alive: bool
    """Set with the head's end."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._accept: list[str] = []
        self._is_whole = False
        self._has_body = False

    @property
    def is_empty(self) -> bool:
        return not self._received

    def feed(self, data: bytes) -> tuple[Request, bytes] | None:
        """Take the next bytes; return the request and what follows it, once it is whole.

        **Raises:** `Refused`, as soon as the bytes cannot begin a legal head.
        """
        searched = max(0, len(self._received) - len(END_OF_HEAD) + 1)
        before = len(self._received)
        self._received += data
        end = self._received.find(END_OF_HEAD, searched)
        taken = data if end < 0 else data[: end + len(END_OF_HEAD) - before]
        try:
            self._parser.feed_data(taken)
        except httptools.HttpParserUpgrade:
            # An offer to switch protocols, which is not taken up.
            pass
        except httptools.HttpParserError:
            raise Refused(400) from None
        if end < 0:
            if self._is_whole:
                raise Refused(400)
            if len(self._received) > MAX_HEAD:
                raise Refused(431)
            return None
        if not self._is_whole or self._parser.get_http_version() not in _VERSIONS:
            raise Refused(400)
        if end > MAX_HEAD:
            raise Refused(431)
        return self._request(), data[len(taken) :]

    def _request(self) -> Request:
        target = self._url.decode("latin-1")
        if target.lower().startswith("http://"):
            _, slash, path = target[len("http://") :].partition("/")
            target = slash + path or "/"
        return Request(
            method=self._parser.get_method().decode(),
            path=target.partition("?")[0],
            accept=",".join(self._accept),
            # What follows a body would have to be found behind it.
            keep_alive=self._keeps_alive and not self._has_body,
        )

    # Called by the parser.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"accept":
            self._accept.append(value.decode("latin-1"))
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            self._has_body = True

    def on_headers_complete(self) -> None:
        self._is_whole = True
        # Later the parser has forgotten it.
        self._keeps_alive = bool(self._parser.should_keep_alive())
