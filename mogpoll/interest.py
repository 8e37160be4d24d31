"""What a poller watches for (`Interest`) and what it reports (`Readiness`, `Event`)."""

from __future__ import annotations

import enum
from typing import NamedTuple


@enum.unique
class Interest(enum.IntEnum):
    """The directions in which a descriptor is watched; an empty interest does not exist.

    `Interest.READ | Interest.WRITE` is `Interest.READ_WRITE`.
    """

    READ = 1
    WRITE = 2
    READ_WRITE = 3

    def __or__(self, other: int) -> Interest:
        return Interest(int(self) | int(other))


class Readiness(enum.IntFlag):
    """What the kernel reported of a descriptor; every bit is a hint (n03).

    HANGUP: the peer sends no more or is gone, or the descriptor has an error. Data may still
    be unread (n04): read until end of file.
    """

    READABLE = 1
    WRITABLE = 2
    HANGUP = 4


class Event(NamedTuple):
    """A readiness event; its receiver owns `fd`."""

    fd: int
    readiness: Readiness
