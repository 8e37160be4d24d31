"""A head or a trailer that arrives in pieces: find its end, and its faults early.

A request is refused as soon as its bytes cannot begin a legal one: the client may wait for the
answer before it sends the rest. The meaning of a head is read once it is whole, so nothing here
makes a request legal.

llhttp finds faults within a line. When a line has ended, the field's value is judged, unless a
folded line behind it could still make it legal.

Pure: no sockets, no files, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httptools

from mogstored.http.message.grammar import (
    END_OF_HEAD,
    FIELD,
    MAX_HEAD,
    RANGED_METHODS,
    REQUEST_LINE,
)
from mogstored.http.message.obsolete_fields import may_be_mended
from mogstored.http.message.ranges import parse_content_range, parse_range, parse_size
from mogstored.http.message.request import (
    BEFORE_TRAILER,
    BadRequest,
    may_begin_request_line,
    parse_md5,
    refusal,
)

# Returns if a value is legal; else raises as the parsers of `ranges` do.
_Check = Callable[[bytes], object]

# Fields that describe the body, and have to agree.
_OF_BODIES = (b"transfer-encoding", b"content-length", b"content-range")


class PartialHead:
    """A request head so far."""

    def __init__(self) -> None:
        self._received = bytearray()
        # Where the first unjudged line begins; 0 until the request line is whole.
        self._judged = 0
        self._fields = _FieldLines({})
        self._parser: Any = httptools.HttpRequestParser(_Ignored())

    def feed(self, data: bytes) -> bytes | None:
        """Take the next bytes; return all bytes so far once the head is whole.

        **Raises:** `BadRequest` as soon as no legal request can begin so.
        """
        received = self._received
        searched = max(0, len(received) - len(END_OF_HEAD) + 1)
        received += data
        if received.find(END_OF_HEAD, searched) >= 0:
            return bytes(received)
        if len(received) > MAX_HEAD:
            raise BadRequest("request head too long")
        if not self._judged:
            self._begin_line(bytes(received))
        if self._parser is not None:
            self._look_for_faults(data)
        if self._judged and b"\n" in data:
            self._judged = self._fields.feed(received, self._judged)
        return None

    def first_bytes(self) -> bytes:
        """Return what was received, at most the longest head."""
        return bytes(self._received[:MAX_HEAD])

    def _begin_line(self, received: bytes) -> None:
        line = REQUEST_LINE.match(received)
        if line is not None:
            self._judged = line.end()
            self._fields = _FieldLines(_checks_of(line[1]))
        elif not may_begin_request_line(received.removeprefix(b"\r\n")):
            raise BadRequest("malformed request line")

    def _look_for_faults(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            received = bytes(self._received)
            # From the end of the request line on; an empty line before it is not its end.
            if not may_be_mended(received[received.find(b"\r\n", 2) :]):
                raise refusal(error, received) from None
            # Only a whole head can be mended; until then, lines are judged as they end.
            self._parser = None


class PartialTrailer:
    """The trailer of a chunked body so far."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._judged = 0
        self._fields = _FieldLines({b"content-md5": parse_md5})
        self._parser: Any = httptools.HttpRequestParser(_Ignored())
        self._parser.feed_data(BEFORE_TRAILER)

    def feed(self, data: bytes) -> None:
        """Take the next bytes, which do not end the trailer.

        **Raises:** `BadRequest` as soon as no legal trailer can begin so.
        """
        self._received += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BadRequest(str(error)) from None
        self._judged = self._fields.feed(self._received, self._judged)


class _FieldLines:
    """Judges fields as their lines end; `checks` are for the values of some."""

    def __init__(self, checks: Mapping[bytes, _Check]) -> None:
        self._checks = checks
        # The values of fields that cannot change any more, and the field that still can.
        self._values: dict[bytes, bytes] = {}
        self._name = self._value = b""

    def feed(self, received: bytearray, begin: int) -> int:
        """Judge the lines that end in `received[begin:]`; return where the next one begins."""
        end = received.rfind(b"\r\n", begin)
        if end < 0:
            return begin
        for line in bytes(received[begin:end]).split(b"\r\n"):
            self._take(line)
        return end + 2

    def _take(self, line: bytes) -> None:
        name = self._name
        if line[:1] in (b" ", b"\t"):
            # Folded around this field, or in front of all, is how requests are smuggled.
            if name in (b"", b"transfer-encoding"):
                raise BadRequest("folded line")
            value = (self._value + b" " + line.strip(b" \t")).strip(b" \t")
        else:
            field = FIELD.fullmatch(line)
            if field is None:
                raise BadRequest(f"malformed field: {line[:40]!r}")
            if name in self._checks:
                self._judge(name, self._value)
                if self._values.setdefault(name, self._value) != self._value:
                    raise BadRequest(f"contradictory {name.decode()} fields")
            name, value = field[1].lower(), field[2].strip(b" \t")
        self._name, self._value = name, value
        if name in self._checks and not _needs_more(name, value):
            # Behind a comma, another range may follow.
            self._judge(name, value + b"-" if value.endswith(b",") else value)
            if not self._values.get(name, value).startswith(value):
                raise BadRequest(f"contradictory {name.decode()} fields")

    def _judge(self, name: bytes, value: bytes) -> None:
        try:
            self._checks[name](value)
        except OverflowError as error:
            raise BadRequest(str(error), 507) from None
        except ValueError as error:
            raise BadRequest(str(error)) from None
        coding, length, part = (
            value if name == other else self._values.get(other, b"") for other in _OF_BODIES
        )
        if coding and (length or part):
            raise BadRequest("a length or a range of a chunked body")
        if length and part:
            first, last, _ = parse_content_range(part)
            if parse_size(length) != last - first + 1:
                raise BadRequest("Content-Range does not fit the body")


class _Ignored:
    """No callbacks: the parser only finds faults."""


def _checks_of(method: bytes) -> dict[bytes, _Check]:
    """Return the checks of the fields that mean something to `method`."""
    checks: dict[bytes, _Check] = {
        b"content-length": _check_length,
        b"content-md5": parse_md5,
        b"transfer-encoding": _check_coding,
    }
    if method in RANGED_METHODS:
        checks[b"range"] = parse_range
    if method == b"PUT":
        checks[b"content-range"] = parse_content_range
    return checks


def _check_length(value: bytes) -> None:
    if not value.isdigit():
        raise ValueError(f"malformed Content-Length: {value[:40]!r}")
    parse_size(value)


def _check_coding(value: bytes) -> None:
    if value.lower() != b"chunked":
        raise ValueError(f"unknown transfer coding: {value[:40]!r}")


def _needs_more(name: bytes, value: bytes) -> bool:
    """Say whether a folded line may complete `value` to a legal one."""
    if name == b"content-range" and value == b"bytes":
        return True
    return not value and name != b"transfer-encoding"
