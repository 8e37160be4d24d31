"""Byte ranges: what is accepted, and what of a file it selects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.http.message.ranges import (
    MAX_OFFSET,
    ByteRange,
    ContentRange,
    Span,
    is_whole,
    parse_content_range,
    parse_range,
    parse_size,
    resolve,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes=66-70", Span(66, 5)),
        (b"bytes=66-", Span(66, 600)),
        (b"bytes=-66", Span(600, 66)),
        (b"bytes=5-6666", Span(5, 661)),
        (b"bytes=-666", Span(0, 666)),
        (b"bytes=0-0", Span(0, 1)),
        (b"bytes=665-", Span(665, 1)),
        (b"bytes=00-00005", Span(0, 6)),
        (b"bytes=5-99999999999999999999999", Span(5, 661)),
        (b"bytes=666-", None),
        (b"bytes=666-666", None),
        (b"bytes=6666-", None),
        (b"bytes=662-226", None),
        (b"bytes=-", None),
        (b"bytes=-0", None),
        (b"bytes=99999999999999999999999-", None),
    ],
)
def test_range_of_a_file_of_666_bytes(value: bytes, expected: Span | None) -> None:
    asked = parse_range(value)
    assert asked is not None
    assert not is_whole(asked, 666)
    assert resolve(asked, 666) == expected


@pytest.mark.parametrize("value", [b"bytes=-667", b"bytes=-99999999999999999999999"])
def test_suffix_beyond_the_file_is_the_whole_file(value: bytes) -> None:
    asked = parse_range(value)
    assert asked is not None
    assert is_whole(asked, 666)


def test_suffix_of_an_empty_file_is_the_whole_file() -> None:
    assert is_whole(ByteRange(None, 5), 0)


def test_beginning_of_an_empty_file_cannot_be_satisfied() -> None:
    assert resolve(ByteRange(0, None), 0) is None


@pytest.mark.parametrize("value", [b"bytes=0-1,3-4", b"bytes=0-1 , -4", b"bytes=1-2,3-4\t,\t5-"])
def test_several_ranges_are_ignored(value: bytes) -> None:
    assert parse_range(value) is None


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=4qasdlkj",
        b"bytes=323",
        b"bytes=-5-5",
        b"lines=1-2",
        b"Bytes=1-2",
        b"bytes 1-2",
        b"bytes=1-2 ",
        b"bytes=1-2,",
        b"bytes=1-2,x",
        b"bytes=0x1-2",
        b"bytes=+1-2",
        b"bytes=",
        b"",
    ],
)
def test_malformed_range(value: bytes) -> None:
    with pytest.raises(ValueError, match="malformed Range"):
        parse_range(value)


@given(
    st.integers(0, 2000) | st.none(),
    st.integers(0, 2000) | st.none(),
    st.integers(0, 1000),
)
def test_span_lies_within_the_file(first: int | None, last: int | None, size: int) -> None:
    span = resolve(ByteRange(first, last), size)
    if span is not None and not is_whole(ByteRange(first, last), size):
        content = bytes(size)
        begin = size - min(last or 0, size) if first is None else first
        end = size if first is None or last is None else last + 1
        assert len(content[begin:end]) == span.size
        assert begin == span.first


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bytes 5-9/*", ContentRange(5, 9, None)),
        (b"bytes  \t5-9/10", ContentRange(5, 9, 10)),
        (b"bytes 0-0/1", ContentRange(0, 0, 1)),
        (b"bytes 0-%d/*" % MAX_OFFSET, ContentRange(0, MAX_OFFSET, None)),
    ],
)
def test_content_range(value: bytes, expected: ContentRange) -> None:
    assert parse_content_range(value) == expected


@pytest.mark.parametrize(
    "value",
    [b"bytes 9-5/*", b"bytes 5-9/9", b"bytes 5-/*", b"bytes=5-9/*", b"bytes 5-9", b"bytes */9"],
)
def test_malformed_content_range(value: bytes) -> None:
    with pytest.raises(ValueError, match="Content-Range"):
        parse_content_range(value)


@pytest.mark.parametrize("value", [b"bytes 0-%d/*" % 2**63, b"bytes %d-5/*" % 2**70])
def test_content_range_beyond_the_largest_offset(value: bytes) -> None:
    with pytest.raises(OverflowError):
        parse_content_range(value)


def test_size_with_thousands_of_digits_is_refused_at_once() -> None:
    with pytest.raises(OverflowError):
        parse_size(b"9" * 100_000)


def test_zeros_in_front_do_not_count() -> None:
    assert parse_size(b"0" * 100_000 + b"5") == 5
