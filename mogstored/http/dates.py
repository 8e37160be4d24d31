"""Dates as HTTP writes them (RFC 9110 section 5.6.7), in English whatever the locale."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from time import time

# Years have four digits. A file system may hold any number of seconds, and does when an
# inode was damaged or a clock was wrong.
_FIRST = -62_135_596_800
_LAST = 253_402_300_799


@lru_cache(maxsize=1024)
def format_date(second: int) -> bytes:
    """Return the second since the epoch as `Sun, 06 Nov 1994 08:49:37 GMT`.

    What lies outside the years 1 to 9999 becomes their first or last second.
    """
    return formatdate(min(max(second, _FIRST), _LAST), usegmt=True).encode("ascii")


def date_now() -> bytes:
    """Return the present second; the text is made once a second."""
    return format_date(int(time()))
