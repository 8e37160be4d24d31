"""Undo the chunked transfer coding (RFC 9112 section 7.1), in bounded memory.

llhttp could do it, and is the oracle in the tests. But its Python binding hides the size of a
chunk, and a size from 2^63 to 2^64-1 has another status than a malformed one. It would also
copy each piece of the body. The framing is small enough to stand here; the trailer's fields go
through llhttp like all fields.

Pure: pieces in, pieces out.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from mogstored.http.message.grammar import AFTER_CHUNK_SIZE, CHUNK_SIZE
from mogstored.http.message.partial import PartialTrailer
from mogstored.http.message.ranges import MAX_OFFSET
from mogstored.http.message.request import BadRequest, parse_trailer

# All fields behind the last chunk, their line ends included.
MAX_TRAILER = 8192

# How many bytes are searched at once for a size or the end of an extension.
_WINDOW = 256

_MAX_SIZE_DIGITS = 16
_CR, _LF = b"\r\n"


class _State(enum.Enum):
    SIZE = enum.auto()
    EXTENSION = enum.auto()
    SIZE_LF = enum.auto()
    DATA = enum.auto()
    DATA_CR = enum.auto()
    DATA_LF = enum.auto()
    TRAILER = enum.auto()
    DONE = enum.auto()


class ChunkedDecoder:
    """Decode one body. `content_md5` is the trailer's, once `done` is true."""

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._digits = b""
        self._left = 0
        # The trailer so far, behind the CRLF of the last chunk's line: so an empty trailer ends
        # like any other.
        self._held = b"\r\n"
        self._partial: PartialTrailer | None = None
        self.content_md5: bytes | None = None

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    def decode(self, data: memoryview) -> tuple[list[memoryview], int]:
        """Return the pieces of the body in `data`, and how many bytes were consumed.

        Not all bytes are consumed only when the body ends within `data`. The pieces are views
        of `data`.

        **Raises:** `BadRequest`.
        """
        pieces: list[memoryview] = []
        at = 0
        while at < len(data) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = _State.DATA_CR
            else:
                at = self._FRAMING[self._state](self, data, at)
        return pieces, at

    def _size(self, data: memoryview, at: int) -> int:
        window = bytes(data[at : at + _WINDOW])
        match = CHUNK_SIZE.match(window)
        digits = match[0] if match else b""
        # Any number of leading zeros is legal; all but one are dropped.
        seen = self._digits + digits
        self._digits = seen.lstrip(b"0") or seen[:1]
        if len(self._digits) > _MAX_SIZE_DIGITS or int(self._digits or b"0", 16) > MAX_OFFSET:
            raise BadRequest("chunk size beyond 2^63-1", 507)
        if len(digits) < len(window):
            if not self._digits or window[len(digits)] not in AFTER_CHUNK_SIZE:
                raise BadRequest("malformed chunk size")
            self._state = _State.EXTENSION
        return at + len(digits)

    def _extension(self, data: memoryview, at: int) -> int:
        window = bytes(data[at : at + _WINDOW])
        extension, cr, _ = window.partition(b"\r")
        if b"\n" in extension:
            raise BadRequest("line feed in a chunk extension")
        if cr:
            self._state = _State.SIZE_LF
        return at + len(extension) + len(cr)

    def _size_lf(self, data: memoryview, at: int) -> int:
        if data[at] != _LF:
            raise BadRequest("chunk size line does not end in CRLF")
        self._left = int(self._digits, 16)
        self._digits = b""
        self._state = _State.DATA if self._left else _State.TRAILER
        return at + 1

    def _data_cr(self, data: memoryview, at: int) -> int:
        if data[at] != _CR:
            raise BadRequest("chunk data does not end in CRLF")
        self._state = _State.DATA_LF
        return at + 1

    def _data_lf(self, data: memoryview, at: int) -> int:
        if data[at] != _LF:
            raise BadRequest("chunk data does not end in CRLF")
        self._state = _State.SIZE
        return at + 1

    def _trailer(self, data: memoryview, at: int) -> int:
        held = len(self._held)
        window = self._held + bytes(data[at : at + MAX_TRAILER + 4])
        end = window.find(b"\r\n\r\n")
        if end < 0:
            # The CRLF in front, and all but the last byte of the end.
            if len(window) > MAX_TRAILER + 5:
                raise BadRequest("trailer too long")
            if self._partial is None:
                self._partial = PartialTrailer()
            self._partial.feed(window[held:])
            self._held = window
            return len(data)
        if end > MAX_TRAILER:
            raise BadRequest("trailer too long")
        self.content_md5 = parse_trailer(window[2 : end + 4])
        self._state = _State.DONE
        return at + end + 4 - held

    _FRAMING: ClassVar = {
        _State.SIZE: _size,
        _State.EXTENSION: _extension,
        _State.SIZE_LF: _size_lf,
        _State.DATA_CR: _data_cr,
        _State.DATA_LF: _data_lf,
        _State.TRAILER: _trailer,
    }
