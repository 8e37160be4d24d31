"""How the disk threads of a process are shared out among its devices: arithmetic, and a count.

Half of the threads are divided evenly: they are each device's own, and no other device ever
takes them, whatever hangs. The other half is lent to whoever has more to do, so that one
busy disk is not held to a hundredth of the threads because there are a hundred disks.
What a device may hold in all is limited, so that one that hangs does not borrow everything.

    threads  devices  own each  to lend  most for one
         10        1         5        5            10
         20        2         5       10            10
        100       10         5       50            10
        100       30         1       70            10
        100      100         1        0            10
        100      500         1        0            10
        200        1       100      100           200

With more devices than threads each still has one of its own, so that more may be promised
than there are. That is made good when it matters: `mogstored.storage.device_watch` starts a
thread for each one that a device does not give back.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

# What a device may hold, unless there are more threads than that for each.
MOST = 10


class Shares(NamedTuple):
    """What `share_out` gives."""

    own: int
    """How many threads each device may always have."""
    lent: int
    """How many more there are, for all devices together."""
    most: int
    """How many one device may have in all."""


def share_out(threads: int, devices: int) -> Shares:
    """Divide `threads` among `devices`; both may be any number from 1."""
    devices = max(1, devices)
    own = max(1, threads // (2 * devices))
    return Shares(own, max(0, threads - own * devices), max(MOST, threads // devices))


class Lent:
    """The slots that all devices of the process share.

    **Threads:** any. `_lock` guards the numbers; it is held for a few instructions only,
    and may be taken while a device's is held.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one, if there is one."""
        with self._lock:
            if self._free <= 0:
                return False
            self._free -= 1
            return True

    def give(self) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += 1

    def resize(self, size: int) -> None:
        """Change how many there are; those that are out come back in their time."""
        with self._lock:
            self._free += size - self._size
            self._size = size
