"""The open descriptors of this process, and those that a test has left open."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# A new descriptor gets the lowest free number, and no test leaves thousands open.
_LIMIT = 4096


def open_numbers() -> set[int]:
    """Return the open numbers below the limit above.

    Checks each number: /dev/fd lists only 0 to 2 on a FreeBSD without fdescfs.
    """
    return {number for number in range(_LIMIT) if is_open(number)}


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@contextmanager
def none_left_open() -> Iterator[None]:
    """Fail if a descriptor is open after the block that was not before; on Linux only."""
    if sys.platform != "linux":
        yield
        return
    before = _named()
    yield
    left: set[tuple[str, str]] = set()

    def is_clean() -> bool:
        nonlocal left
        left = _named() - before
        return not left

    try:
        # A thread may close its last one a little later.
        wait_until(is_clean, "no descriptor is left open")
    except AssertionError:
        raise AssertionError(f"left open: {sorted(left)}") from None


def _named() -> set[tuple[str, str]]:
    """Return each open number with what it stands for."""
    found = set()
    # mogstored.files.nameless keeps this directory open once it was needed.
    kept = f"/proc/{os.getpid()}/fd"
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            # The listing's own.
            continue
        if path != kept:
            found.add((number, path))
    return found
