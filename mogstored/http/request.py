"""From bytes to a `Request`: llhttp reads the fields, and the node's limits stand here.

The request line is judged by one pattern, which is the whole of its grammar: five methods,
one blank, a narrow alphabet of paths, two versions. llhttp is more tolerant about it, and
would have to be checked afterwards anyhow.

The fields go through llhttp (`httptools`), which is fuzzed, strict and fast. Two things
that it refuses and older nodes accepted are mended and parsed again: a folded field, and a
second Content-Length that says the same. It knows no limits of size: the head's is here.
What it says of persistence is not used, because a Connection list must count `close` above
`keep-alive` in any order.

Clients send the same block of fields with every request, so a parsed block is kept: a
look-up replaces 2 us of parsing. Blocks that are long are not kept, to bound the memory.

Pure: no sockets, no files, no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import httptools

from mogstored.http.mending import may_be_mended, mend
from mogstored.http.ranges import (
    ByteRange,
    parse_range,
    parse_size,
)
from mogstored.storage.paths import MAX_PATH

# From the first byte of the request line to the empty line's CRLF.
MAX_HEAD = 65_535

END_OF_HEAD = b"\r\n\r\n"

_METHODS = (b"GET", b"HEAD", b"PUT", b"DELETE", b"MKCOL")
_VERSIONS = (b"HTTP/1.0\r\n", b"HTTP/1.1\r\n")
_AUTHORITY = rb"http://[^/\x00-\x20\x7f]+"
# Leading slashes count as one, which belongs to the path's length.
_PATH = rb"/++([A-Za-z0-9/.-]{0,%d})" % (MAX_PATH - 1)
# One empty line before a request is forgiven (RFC 9112 section 2.2).
_REQUEST_LINE = re.compile(
    rb"(?:\r\n)?(%b) (?:%b)?%b HTTP/1\.([01])\r\n" % (b"|".join(_METHODS), _AUTHORITY, _PATH)
)
_TARGET = re.compile(rb"(?:%b)?%b" % (_AUTHORITY, _PATH))
_TARGET_BEGIN = re.compile(rb"(?:%b)?(?:%b)?" % (_AUTHORITY, _PATH))
_MD5 = re.compile(rb"[A-Za-z0-9+/]{22}==")
# llhttp notices an overflow before the line ends.
_LENGTH_FIELD = re.compile(rb"(?i:\r\ncontent-length):[ \t]*([0-9]+)[ \t]*(?:\r\n|\Z)")

# The line that llhttp is shown before a block of fields, by the minor version.
_LINES = (b"PUT / HTTP/1.0\r\n", b"PUT / HTTP/1.1\r\n")

# What llhttp is shown before a trailer.
_BEFORE_TRAILER = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"

# Blocks of fields up to this size are kept parsed, and so many of them.
_KEPT_SIZE = 512
_KEPT_COUNT = 1024


class BadRequest(Exception):
    """A request that cannot be honoured as it stands; `status` is the answer to it."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fields:
    """What the header fields of a request say, in the node's terms.

    `content_md5` is the base64 text, `content_range` the text that only a PUT interprets.
    `range_` is None when there is none to honour.
    """

    keep_alive: bool
    content_length: int | None = None
    chunked: bool = False
    content_range: bytes | None = None
    content_md5: bytes | None = None
    md5_in_trailer: bool = False
    range_: ByteRange | None = None
    expects_continue: bool = False
    has_body: bool = field(init=False)
    is_plain: bool = field(init=False)
    """Whether a GET with these fields asks for nothing but the file."""
    is_bare_body: bool = field(init=False)
    """Whether a PUT with these fields has nothing to it but a body of known length."""

    def __post_init__(self) -> None:
        has_body = self.chunked or bool(self.content_length)
        object.__setattr__(self, "has_body", has_body)
        plain = self.keep_alive and self.range_ is None and not has_body
        object.__setattr__(self, "is_plain", plain)
        checked = self.content_md5 is not None or self.md5_in_trailer
        partial = self.content_range is not None
        bare = not (self.chunked or checked or partial or self.expects_continue)
        object.__setattr__(self, "is_bare_body", bare)


class Request(NamedTuple):
    """One request. `path` lacks its leading slashes; `minor` is that of HTTP/1.x."""

    method: bytes
    path: bytes
    minor: int
    fields: Fields


def parse_request(data: bytes, end: int) -> Request:
    """Return the request whose head is `data[:end]`, the empty line included.

    **Raises:** `BadRequest`.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise BadRequest("malformed request line")
    if end > MAX_HEAD:
        raise BadRequest("request head too long")
    method, path, version = line.groups()
    minor = int(version)
    return Request(method, path, minor, parse_fields(data[line.end() : end], minor))


def parse_fields(block: bytes, minor: int) -> Fields:
    """Return what a block of fields says, its last CRLF CRLF included.

    **Raises:** `BadRequest`.
    """
    if len(block) > _KEPT_SIZE:
        return _parse_fields(block, minor)
    return _parse_fields_once(block, minor)


def parse_trailer(block: bytes) -> bytes | None:
    """Return the Content-MD5 of a chunked body's trailer, its last CRLF included, if any.

    Other fields mean nothing here, whatever they are called.

    **Raises:** `BadRequest`.
    """
    return _checked_md5(_collect(_BEFORE_TRAILER + block, _IN_TRAILER).get(b"content-md5"))


class PartialHead:
    """A request head that did not come whole: finds its end, and faults in it early.

    The bytes that came pass through an llhttp parser as they come, only to notice a fault
    before the end; what the head says is read from the whole of it, once it is whole.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._line_is_whole = False
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
        if not self._line_is_whole:
            self._line_is_whole = _begin_line(bytes(received))
        if self._parser is not None:
            self._look_for_faults(data)
        return None

    def _look_for_faults(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            received = bytes(self._received)
            # From the end of the request line on; an empty line before it is not its end.
            if not may_be_mended(received[received.find(b"\r\n", 2) :]):
                raise _refusal(error, received) from None
            # Only the whole can be mended, and only the whole is judged from here on.
            self._parser = None


def _begin_line(received: bytes) -> bool:
    """Check the beginning of a request; True when its first line is whole.

    **Raises:** `BadRequest`.
    """
    line = received.removeprefix(b"\r\n")
    if _REQUEST_LINE.match(line):
        return True
    if b"\n" in line or not _may_begin(line):
        raise BadRequest("malformed request line")
    return False


def _may_begin(line: bytes) -> bool:
    if line == b"\r":
        return True
    method, blank, rest = line.partition(b" ")
    if not blank:
        return any(known.startswith(method) for known in _METHODS)
    target, blank, version = rest.partition(b" ")
    if method not in _METHODS:
        return False
    if not blank:
        return b"http://".startswith(target) or _TARGET_BEGIN.fullmatch(target) is not None
    return _TARGET.fullmatch(target) is not None and any(
        known.startswith(version) for known in _VERSIONS
    )


class _Ignored:
    """Callbacks of a parser whose only use is to notice faults: none."""


class _Collector:
    """Callbacks that gather the fields of some names."""

    def __init__(self, names: frozenset[bytes]) -> None:
        self._names = names
        self.values: dict[bytes, bytes] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name not in self._names:
            return
        value = value.rstrip(b" \t")
        known = self.values.setdefault(name, value)
        if name in _LISTS:
            if known is not value:
                self.values[name] = known + b"," + value
        elif known != value:
            raise BadRequest(f"contradictory {name.decode()} fields")


_LISTS = frozenset({b"connection", b"trailer"})
_MEANINGFUL = _LISTS | {
    b"content-length",
    b"content-md5",
    b"content-range",
    b"expect",
    b"range",
    b"transfer-encoding",
}
_IN_TRAILER = frozenset({b"content-md5"})


def _parse_fields(block: bytes, minor: int) -> Fields:
    try:
        values = _collect(_LINES[minor] + block, _MEANINGFUL)
    except BadRequest:
        mended = mend(b"\r\n" + block)[2:]
        if mended == block:
            raise
        values = _collect(_LINES[minor] + mended, _MEANINGFUL)
    return _interpret(values, minor)


def _collect(message: bytes, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """Let llhttp read a message; return the values of its fields of these names."""
    collector = _Collector(names)
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(message)
    except httptools.HttpParserUpgrade:
        # An offer to switch protocols, which is not taken up: an ordinary request.
        pass
    except httptools.HttpParserCallbackError as error:
        if isinstance(error.__context__, BadRequest):
            raise error.__context__ from None
        raise
    except httptools.HttpParserError as error:
        raise _refusal(error, message) from None
    return collector.values


# Shared by all threads: the cache takes care of itself, and `Fields` cannot be changed.
_parse_fields_once = lru_cache(maxsize=_KEPT_COUNT)(_parse_fields)


def _refusal(error: Exception, head: bytes) -> BadRequest:
    """Return the answer to what llhttp refused; numbers that are too large have their own."""
    length = _LENGTH_FIELD.search(head)
    if length is not None:
        try:
            parse_size(length[1])
        except OverflowError as overflow:
            return BadRequest(str(overflow), 507)
    return BadRequest(str(error))


def _interpret(values: dict[bytes, bytes], minor: int) -> Fields:
    get: Any = values.get
    coding, length = get(b"transfer-encoding"), get(b"content-length")
    if coding is not None and coding.lower() != b"chunked":
        raise BadRequest(f"unknown transfer coding: {coding!r}")
    range_ = get(b"range")
    try:
        return Fields(
            keep_alive=_keeps_alive(get(b"connection"), minor),
            content_length=None if length is None else parse_size(length),
            chunked=coding is not None,
            content_range=get(b"content-range"),
            content_md5=_checked_md5(get(b"content-md5")),
            md5_in_trailer=b"content-md5" in _tokens(get(b"trailer")),
            range_=None if range_ is None else parse_range(range_),
            expects_continue=minor == 1 and get(b"expect", b"").lower() == b"100-continue",
        )
    except OverflowError as error:
        raise BadRequest(str(error), 507) from None
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _checked_md5(value: bytes | None) -> bytes | None:
    if value is not None and _MD5.fullmatch(value) is None:
        raise BadRequest(f"malformed Content-MD5: {value!r}")
    return value


def _keeps_alive(connection: bytes | None, minor: int) -> bool:
    if connection is None:
        return minor == 1
    tokens = _tokens(connection)
    return b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)


def _tokens(value: bytes | None) -> set[bytes]:
    return {token.strip(b" \t").lower() for token in (value or b"").split(b",")}
