"""Dates: the one format, and times that have none."""

from __future__ import annotations

import pytest

from mogstored.http.message.dates import format_date


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (784111777, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, b"Wed, 31 Dec 1969 23:59:59 GMT"),
        (253402300799, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (253402300800, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (2**62, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        (-62135596800, b"Mon, 01 Jan 0001 00:00:00 GMT"),
        (-62135596801, b"Mon, 01 Jan 0001 00:00:00 GMT"),
        (-(2**62), b"Mon, 01 Jan 0001 00:00:00 GMT"),
    ],
)
def test_second_as_text(second: int, text: bytes) -> None:
    assert format_date(second) == text
