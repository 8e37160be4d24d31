"""Byte ranges: the Range field of a GET, the Content-Range field of a PUT.

One range only, in the syntax that storage nodes have always accepted, which is narrower than
RFC 9110 section 14; see `grammar`. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from mogstored.http.message.grammar import CONTENT_RANGE, RANGE, SEVERAL_RANGES

# The largest offset in a file.
MAX_OFFSET = 2**63 - 1


class ByteRange(NamedTuple):
    """A range as it was asked for: `first` None counts `last` bytes from the end."""

    first: int | None
    last: int | None


class Span(NamedTuple):
    """The part of a file that is sent: `size` bytes from `first` on."""

    first: int
    size: int


class ContentRange(NamedTuple):
    """Where the body of a partial PUT goes; `last` is inclusive, `total` None for `*`."""

    first: int
    last: int
    total: int | None


def parse_range(value: bytes) -> ByteRange | None:
    """Return the range of a Range field; None when it names several, which are ignored.

    **Raises:** `ValueError` when it is malformed.
    """
    match = RANGE.fullmatch(value)
    if match is None:
        if SEVERAL_RANGES.fullmatch(value):
            return None
        raise ValueError(f"malformed Range: {value!r}")
    first, last = match.groups()
    return ByteRange(_number(first), _number(last))


def _number(digits: bytes) -> int | None:
    """Return the number, clamped: nothing in a file lies beyond the largest offset."""
    if not digits:
        return None
    significant = digits.lstrip(b"0")
    return MAX_OFFSET if len(significant) > 19 else min(int(significant or b"0"), MAX_OFFSET)


def resolve(asked: ByteRange, size: int) -> Span | None:
    """Apply a range to a file of `size` bytes; None when it cannot be satisfied.

    A suffix longer than the file is cut to the file. That answer is not a part of it but
    the file itself; see `is_whole`.
    """
    first, last = asked
    if first is None:
        if not last:
            return None
        first = max(0, size - last)
        return Span(first, size - first)
    if first >= size or (last is not None and last < first):
        return None
    end = size - 1 if last is None else min(last, size - 1)
    return Span(first, end - first + 1)


def is_whole(asked: ByteRange, size: int) -> bool:
    """Say whether a range is answered by the whole file with 200: a suffix beyond it."""
    return asked.first is None and asked.last is not None and asked.last > size


def parse_content_range(value: bytes) -> ContentRange:
    """Return the target of a partial PUT.

    **Raises:** `OverflowError` when a position exceeds the largest offset, `ValueError`
    when the field is malformed or contradicts itself.
    """
    match = CONTENT_RANGE.fullmatch(value)
    if match is None:
        raise ValueError(f"malformed Content-Range: {value!r}")
    first, last = parse_size(match[1]), parse_size(match[2])
    total = None if match[3] == b"*" else parse_size(match[3])
    if first > last or (total is not None and total <= last):
        raise ValueError(f"contradictory Content-Range: {value!r}")
    return ContentRange(first, last, total)


def parse_size(digits: bytes) -> int:
    """Return the number that `digits` spell.

    **Raises:** `OverflowError` beyond the largest offset.
    """
    significant = digits.lstrip(b"0")
    # Python refuses to convert thousands of digits, so look at their number first.
    if len(significant) > 19 or int(significant or b"0") > MAX_OFFSET:
        raise OverflowError(f"number beyond 2^63-1: {digits[:40]!r}")
    return int(significant or b"0")
