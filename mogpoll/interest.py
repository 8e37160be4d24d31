"""What is asked of a poller (`Interest`) and what it tells (`Readiness`, `Event`)."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Interest(enum.IntEnum):
    """The directions in which a descriptor is watched; there is no empty interest.

    `Interest.READ | Interest.WRITE` is `Interest.READ_WRITE`.
    """

    READ = 1
    WRITE = 2
    READ_WRITE = 3

    def __or__(self, other: int) -> Interest:
        return Interest(int(self) | int(other))


class Readiness(enum.IntFlag):
    """What a kernel said of a descriptor; every bit is a hint.

    HANGUP says that the peer sends no more, has gone, or that the descriptor is in
    error. Bytes may still wait to be read: read until there are none.
    """

    READABLE = 1
    WRITABLE = 2
    HANGUP = 4


class Event(NamedTuple):
    """One telling: descriptor `fd` became ready, and the receiver now owns it."""

    fd: int
    readiness: Readiness
