"""From bytes to a `Request`: llhttp reads the fields, and the node's limits stand here.

One pattern, which is all of the request line's grammar, judges that line. llhttp is more
tolerant of it, and its verdict would need a second look anyhow.

The fields go through llhttp (`httptools`), which is fuzzed, strict and fast. It refuses two
things that older nodes accepted, which are mended and parsed again: a folded field, and a
second Content-Length that says the same. It has no limits of size: the head's is here. Its
opinion on persistence is not used: a Connection list must rank `close` above `keep-alive` in
any order.

Clients send the same block of fields with every request, so a parsed block is kept: a look-up
replaces 2 us of parsing.

Pure: no sockets, no files, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httptools

from mogstored.devices.device import Device
from mogstored.files.recent_files import RecentFile
from mogstored.http.message.grammar import (
    END_OF_LINE,
    LENGTH_SO_FAR,
    MAX_HEAD,
    MD5,
    METHODS,
    RANGED_METHODS,
    REQUEST_LINE,
    TARGET,
    TARGET_BEGIN,
    VERSIONS,
)
from mogstored.http.message.obsolete_fields import mend
from mogstored.http.message.ranges import ByteRange, parse_range, parse_size

# What llhttp reads before a block, which begins with the last digit of the version.
_BEFORE_BLOCK = b"PUT / HTTP/1."
# What llhttp reads before a trailer.
BEFORE_TRAILER = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"

# Blocks up to this size are kept, and so many: clients differ little in their fields, but
# for the lengths of what they upload.
_KEPT_SIZE = 512
_KEPT_COUNT = 128


class BadRequest(Exception):
    """A request that cannot be honoured as it stands; `status` is the answer to it."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Fields:
    """What the header fields of a request mean to the node.

    `content_md5` is the base64 text, `content_range` the text that only a PUT interprets.
    `range_` is None when there is none to honour; whether it is malformed concerns the methods
    that use it.
    """

    keep_alive: bool
    content_length: int | None = None
    chunked: bool = False
    content_range: bytes | None = None
    content_md5: bytes | None = None
    md5_in_trailer: bool = False
    range_: ByteRange | None = None
    range_is_malformed: bool = False
    expects_continue: bool = False
    takes_interim: bool = False
    """Whether an answer of 1xx may come before the final one."""
    has_body: bool = field(init=False)
    is_plain: bool = field(init=False)
    """Whether a GET with these fields asks for nothing but the file."""
    bare_size: int = field(init=False)
    """The length of the body, if a PUT with these fields has nothing else to it; else -1."""

    def __post_init__(self) -> None:
        has_body = self.chunked or bool(self.content_length)
        object.__setattr__(self, "has_body", has_body)
        ranged = self.range_ is not None or self.range_is_malformed
        plain = self.keep_alive and not (ranged or has_body)
        object.__setattr__(self, "is_plain", plain)
        checked = self.content_md5 is not None or self.md5_in_trailer
        partial = self.content_range is not None
        bare = not (self.chunked or checked or partial or self.expects_continue)
        object.__setattr__(self, "bare_size", (self.content_length or 0) if bare else -1)


@dataclass(slots=True)
class Request:
    """One request. `path` lacks its leading slashes.

    A worker thread keeps some. For those there are `head`, as received, and `device`; `file` is
    what the path showed lately, and changes. Nothing else does. Not frozen, which makes each one
    0.4 us dearer.
    """

    method: bytes
    path: bytes
    fields: Fields
    head: bytes = b""
    device: Device | None = None
    file: RecentFile | None = None


# Parsed blocks by their bytes, from the version's last digit to the empty line.
Blocks = dict[bytes, Fields]


def parse_request(data: bytes, end: int, blocks: Blocks) -> Request:
    """Return the request whose head is `data[:end]`, the empty line included.

    `blocks` keeps fields that were parsed before, for the calling thread.

    **Raises:** `BadRequest`.
    """
    line = REQUEST_LINE.match(data)
    if line is None:
        raise BadRequest("malformed request line")
    if end > MAX_HEAD:
        raise BadRequest("request head too long")
    method, path = line.groups()
    block = data[line.end() - END_OF_LINE : end]
    fields = blocks.get(block)
    if fields is None:
        fields = _parse_block(block)
        if len(block) <= _KEPT_SIZE:
            if len(blocks) >= _KEPT_COUNT:
                # Which of them come again is not known.
                blocks.clear()
            blocks[block] = fields
    if fields.range_is_malformed and method in RANGED_METHODS:
        raise BadRequest("malformed Range")
    return Request(method, path, fields)


def parse_trailer(block: bytes) -> bytes | None:
    """Return the Content-MD5 of a chunked body's trailer, its last CRLF included, if any.

    Other fields mean nothing here, whatever they are called.

    **Raises:** `BadRequest`.
    """
    value = _collect(BEFORE_TRAILER + block, _IN_TRAILER).get(b"content-md5")
    try:
        return None if value is None else parse_md5(value)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def parse_md5(value: bytes) -> bytes:
    """Return the base64 text of a Content-MD5, which is checked for its form only.

    **Raises:** `ValueError`.
    """
    if MD5.fullmatch(value) is None:
        raise ValueError(f"malformed Content-MD5: {value[:40]!r}")
    return value


def may_begin_request_line(line: bytes) -> bool:
    """Say whether `line`, which is not a whole request line, can become one."""
    if b"\n" in line:
        return False
    if line == b"\r":
        return True
    method, blank, rest = line.partition(b" ")
    if not blank:
        return any(known.startswith(method) for known in METHODS)
    target, blank, version = rest.partition(b" ")
    if method not in METHODS:
        return False
    if not blank:
        return b"http://".startswith(target) or TARGET_BEGIN.fullmatch(target) is not None
    return TARGET.fullmatch(target) is not None and any(
        known.startswith(version) for known in VERSIONS
    )


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
            if name not in _FOR_SOME_METHODS:
                raise BadRequest(f"contradictory {name.decode()} fields")
            # Together they are malformed to a method that uses them.
            self.values[name] = known + b"\n" + value


_LISTS = frozenset({b"connection", b"trailer"})
_MEANINGFUL = _LISTS | {
    b"content-length",
    b"content-md5",
    b"content-range",
    b"expect",
    b"range",
    b"transfer-encoding",
}
_FOR_SOME_METHODS = frozenset({b"content-range", b"range"})
_IN_TRAILER = frozenset({b"content-md5"})


def _parse_block(block: bytes) -> Fields:
    try:
        values = _collect(_BEFORE_BLOCK + block, _MEANINGFUL)
    except BadRequest:
        version, fields = block[:1], block[1:]
        mended = mend(fields)
        if mended == fields:
            raise
        values = _collect(_BEFORE_BLOCK + version + mended, _MEANINGFUL)
    return _interpret(values, int(block[:1]))


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
        raise refusal(error, message) from None
    return collector.values


def refusal(error: Exception, head: bytes) -> BadRequest:
    """Return the answer to what llhttp refused; numbers that are too large have their own."""
    length = LENGTH_SO_FAR.search(head)
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
    md5 = get(b"content-md5")
    range_, range_is_malformed = _range(get(b"range"))
    try:
        return Fields(
            keep_alive=_keeps_alive(get(b"connection"), minor),
            content_length=None if length is None else parse_size(length),
            chunked=coding is not None,
            content_range=get(b"content-range"),
            content_md5=None if md5 is None else parse_md5(md5),
            md5_in_trailer=b"content-md5" in _tokens(get(b"trailer")),
            range_=range_,
            range_is_malformed=range_is_malformed,
            takes_interim=minor == 1,
            expects_continue=minor == 1 and get(b"expect", b"").lower() == b"100-continue",
        )
    except OverflowError as error:
        raise BadRequest(str(error), 507) from None
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _range(value: bytes | None) -> tuple[ByteRange | None, bool]:
    """Return the range, and whether the field is malformed."""
    try:
        return None if value is None else parse_range(value), False
    except ValueError:
        return None, True


def _keeps_alive(connection: bytes | None, minor: int) -> bool:
    if connection is None:
        return minor == 1
    tokens = _tokens(connection)
    return b"close" not in tokens and (minor == 1 or b"keep-alive" in tokens)


def _tokens(value: bytes | None) -> set[bytes]:
    return {token.strip(b" \t").lower() for token in (value or b"").split(b",")}
