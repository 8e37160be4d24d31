"""mending.py: what is mended, and that everything else stays as it came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.http.message.obsolete_fields import may_be_mended, mend


@pytest.mark.parametrize(
    ("fields", "mended"),
    [
        (b"A: b\r\n c\r\n\r\n", b"A: b c\r\n\r\n"),
        (b"A:\r\n\t  b\r\n \t\r\n\r\n", b"A: b \r\n\r\n"),
        (b"Content-Length: 5\r\nA:\r\ncontent-length:5 \r\n\r\n",
         b"Content-Length: 5\r\nA:\r\n\r\n"),
        (b"Content-Length: 5\r\nContent-Length:\r\n 5\r\n\r\n", b"Content-Length: 5\r\n\r\n"),
    ],
)  # fmt: skip
def test_mended(fields: bytes, mended: bytes) -> None:
    assert may_be_mended(b"\r\n" + fields)
    assert mend(b"\r\n" + fields) == b"\r\n" + mended


@pytest.mark.parametrize(
    "fields",
    [
        b" A: b\r\n c\r\n\r\n",
        b"A: b\n c\r\n\r\n",
        b"transfer-encoding:\r\n chunked\r\n\r\n",
        b"A: b\r\n\tTRANSFER-ENCODING: chunked\r\n\r\n",
        b"A: b\r\n Content-Length : 5\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 05\r\n\r\n",
        b"Content-Length: 5, 5\r\nContent-Length: 5, 5\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"A: b\r\nA: b\r\n\r\n",
    ],
)
def test_left_alone(fields: bytes) -> None:
    assert mend(b"\r\n" + fields) == b"\r\n" + fields


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"A: b\r\n",
        b"Content-Length: 5\r\nA b\r\n",
        b"Content-Length: 5\r\nContent-Length-Of: 5\r\n",
        b" A: b\r\n",
    ],
)
def test_without_a_use_for_mending(fields: bytes) -> None:
    assert not may_be_mended(b"\r\n" + fields)


def test_twice_the_same_and_once_something_else() -> None:
    """What cannot be merged is left for the parser to refuse."""
    fields = b"\r\nContent-Length: 5\r\nContent-Length: 5\r\nContent-Length: +5\r\n\r\n"
    assert mend(fields) == b"\r\nContent-Length: 5\r\nContent-Length: +5\r\n\r\n"


PIECES = st.sampled_from(
    [b"\r\n", b" ", b"\t", b"a", b":", b"Content-Length: 5", b"Transfer-Encoding: chunked"]
)


@given(st.lists(PIECES).map(b"".join))
def test_mending_ends_no_head_and_begins_no_field(fields: bytes) -> None:
    """No line begins in the mended fields that did not begin in them before."""
    lines = fields.split(b"\r\n")
    assert set(mend(b"\r\n" + fields)[2:].split(b"\r\n")) <= _grown(lines)


def _grown(lines: list[bytes]) -> set[bytes]:
    """Return the lines as they are, and each joined with the blank lines behind it."""
    grown = set(lines)
    for at in range(len(lines)):
        joined = lines[at]
        for line in lines[at + 1 :]:
            if not line.startswith((b" ", b"\t")):
                break
            joined += b" " + line.lstrip(b" \t")
            grown.add(joined)
    return grown
