"""Which descriptor numbers of this process are open.

Asked of each number by itself: /dev/fd lists 0 to 2 and no more on a FreeBSD without fdescfs.
"""

from __future__ import annotations

import os

# A new descriptor gets the lowest number that is free, and no test leaves thousands open.
_LIMIT = 4096


def open_numbers() -> set[int]:
    """Return those that are open, as far as numbers are given out here."""
    return {number for number in range(_LIMIT) if is_open(number)}


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
