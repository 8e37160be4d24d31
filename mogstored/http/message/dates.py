"""Dates as HTTP writes them (RFC 9110 section 5.6.7), in English whatever the locale."""

from __future__ import annotations

from functools import lru_cache
from time import gmtime, time

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (
    *(b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun"),
    *(b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"),
)

# The last second and its text. Replaced as a whole.
_last = (0, b"")

# Years have four digits. The time of a file may be any number, after damage to its inode or
# with a wrong clock.
_FIRST = -62_135_596_800
_LAST = 253_402_300_799


@lru_cache(maxsize=1024)
def format_date(second: int) -> bytes:
    """Return the second since the epoch as `Sun, 06 Nov 1994 08:49:37 GMT`.

    What lies outside the years 1 to 9999 becomes their first or last second.
    """
    moment = gmtime(min(max(second, _FIRST), _LAST))
    year, month, day, hour, minute, of_minute, weekday, _, _ = moment
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        *(_DAYS[weekday], day, _MONTHS[month - 1], year),
        *(hour, minute, of_minute),
    )


def date_now() -> bytes:
    """Return the present second; the text is made once a second."""
    global _last
    second = int(time())
    last, text = _last
    if second != last:
        text = format_date(second)
        _last = second, text
    return text
