"""Bytes in any pieces give the same lines, and the length of a line is limited."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.sidechannel.lines import MAX_LINE, LineBuffer, LineTooLong


def take_all(buffer: LineBuffer) -> list[bytes | None]:
    """Return the lines up to the end; None stands for one that is too long."""
    lines: list[bytes | None] = []
    try:
        while (line := buffer.take()) is not None:
            lines.append(line)
    except LineTooLong:
        lines.append(None)
    return lines


def feed_in_pieces(data: bytes, cuts: list[int]) -> list[bytes | None]:
    buffer = LineBuffer()
    lines: list[bytes | None] = []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        buffer.feed(data[begin:end])
        lines += take_all(buffer)
        if lines and lines[-1] is None:
            break
    return lines


lines_of_any_length = st.lists(
    st.one_of(st.just(b"size /x\r"), st.just(b""), st.integers(490, 500).map(lambda n: b"a" * n)),
    max_size=8,
).map(lambda lines: b"\n".join([*lines, b"rest"]))


@given(lines_of_any_length, st.lists(st.integers(0, 4000), max_size=12))
def test_pieces_make_no_difference(data: bytes, cuts: list[int]) -> None:
    assert feed_in_pieces(data, cuts) == feed_in_pieces(data, [])


def test_partial_line_is_kept() -> None:
    buffer = LineBuffer()
    buffer.feed(b"\nsize /x\nsi")
    assert [buffer.take(), buffer.take(), buffer.take()] == [b"", b"size /x", None]
    assert len(buffer) == 2
    buffer.feed(b"ze /y\n")
    assert buffer.take() == b"size /y"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_longest_line_is_taken(end: bytes) -> None:
    buffer = LineBuffer()
    assert MAX_LINE == 496
    buffer.feed(b"a" * (MAX_LINE - len(end.rstrip(b"\n"))) + end)
    line = buffer.take()
    assert line is None if not end else line is not None


@pytest.mark.parametrize("end", [b"\n", b""])
def test_line_of_one_byte_more_is_too_long(end: bytes) -> None:
    buffer = LineBuffer()
    buffer.feed(b"a" * (MAX_LINE + 1) + end)
    with pytest.raises(LineTooLong):
        buffer.take()


def test_lines_before_one_that_is_too_long_are_taken() -> None:
    assert feed_in_pieces(b"\na\nb\n" + b"c" * 500, []) == [b"", b"a", b"b", None]


def test_cleared_buffer_is_empty() -> None:
    buffer = LineBuffer()
    buffer.feed(b"a\nb")
    buffer.clear()
    assert (len(buffer), buffer.take()) == (0, None)
