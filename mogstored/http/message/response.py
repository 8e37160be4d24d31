"""The node's answers, byte for byte: field order and spelling are part of the protocol.

The status line always says HTTP/1.1, and a `Status` field repeats it: MogileFS tools expect
that. Every answer says whether the connection is kept.
"""

from __future__ import annotations

from functools import lru_cache
from time import time

from mogstored.http.message.dates import date_now, format_date
from mogstored.http.message.ranges import Span

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REASONS = {
    201: b"201 Created",
    204: b"204 No Content",
    400: b"400 Bad Request",
    403: b"403 Forbidden",
    404: b"404 Not Found",
    405: b"405 Method Not Allowed",
    500: b"500 Internal Server Error",
    408: b"408 Request Timeout",
    507: b"507 Insufficient Storage",
}
_CONNECTION = (b"close", b"keep-alive")


def short(status: int, keep_alive: bool) -> bytes:
    """Return a whole answer without content."""
    return _short(status, keep_alive, int(time()))


@lru_cache(maxsize=64)
def _short(status: int, keep_alive: bool, second: int) -> bytes:
    reason = _REASONS[status]
    return (
        b"HTTP/1.1 %b\r\nStatus: %b\r\nDate: %b\r\nContent-Length: 0\r\n"
        b"Content-Type: text/plain\r\nConnection: %b\r\n\r\n"
        % (reason, reason, format_date(second), _CONNECTION[keep_alive])
    )


# A 200 is the beginning, the date and the rest, which stays the same while the file does.
WHOLE_BEGIN = b"HTTP/1.1 200 OK\r\nStatus: 200 OK\r\nDate: "


def whole(size: int, modified: int, keep_alive: bool) -> bytes:
    """Return the head of a 200 with a file of `size` bytes, modified at that second."""
    return WHOLE_BEGIN + date_now() + whole_rest(size, modified, keep_alive)


def whole_rest(size: int, modified: int, keep_alive: bool) -> bytes:
    """Return what follows the date in the head of a 200."""
    return (
        b"\r\nLast-Modified: %b\r\nContent-Length: %d\r\n"
        b"Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n"
        b"Connection: %b\r\n\r\n" % (format_date(modified), size, _CONNECTION[keep_alive])
    )


def partial(span: Span, size: int, modified: int, keep_alive: bool) -> bytes:
    """Return the head of a 206 with a part of a file of `size` bytes."""
    return (
        b"HTTP/1.1 206 Partial Content\r\nStatus: 206 Partial Content\r\n"
        b"Date: %b\r\nLast-Modified: %b\r\nContent-Length: %d\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Range: bytes %d-%d/%d\r\n"
        b"Connection: %b\r\n\r\n"
        % (
            date_now(),
            format_date(modified),
            span.size,
            span.first,
            span.first + span.size - 1,
            size,
            _CONNECTION[keep_alive],
        )
    )


def unsatisfiable(size: int, keep_alive: bool) -> bytes:
    """Return a whole 416 for a file of `size` bytes."""
    return (
        b"HTTP/1.1 416 Requested Range Not Satisfiable\r\n"
        b"Status: 416 Requested Range Not Satisfiable\r\nDate: %b\r\nContent-Length: 0\r\n"
        b"Content-Type: text/plain\r\nContent-Range: bytes */%d\r\nConnection: %b\r\n\r\n"
        % (date_now(), size, _CONNECTION[keep_alive])
    )
