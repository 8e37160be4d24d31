"""Names from outside as they are shown."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.log.printable import error_name, printable, reason


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"/var/mogdata", "/var/mogdata"),
        ("/srv/Größe €".encode(), "/srv/Größe €"),
        (b"data\xe9", r"data\xe9"),
        (b"\xc3\xa9\xff", r"é\xff"),
        (b"\x80", r"\x80"),
        (b"a\nb\rc\td", r"a\nb\rc\td"),
        (b"\x1b[31mred", r"\x1b[31mred"),
        ("line\u2028end".encode(), r"line\u2028end"),
        (b"", ""),
    ],
)
def test_name(name: bytes, shown: str) -> None:
    assert printable(os.fsdecode(name)) == shown


@pytest.mark.parametrize("number", [0xDC7F, 0xDD00], ids=hex)
def test_surrogate_that_is_no_byte(number: int) -> None:
    assert printable(chr(number)) == f"\\u{number:04x}"


@pytest.mark.parametrize(
    ("error", "text", "name"),
    [
        (OSError(errno.EIO, "bad"), "bad (EIO)", "EIO"),
        (OSError(12345, "odd"), "odd (12345)", "12345"),
        (OSError("unknown"), "unknown", ""),
    ],
)
def test_reason_of_an_error(error: OSError, text: str, name: str) -> None:
    assert (reason(error), error_name(error)) == (text, name)


@given(st.one_of(st.text(), st.binary().map(os.fsdecode), st.text(st.characters())))
def test_every_stream_takes_it_as_one_line(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown
