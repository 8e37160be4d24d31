"""How the disk threads of a process are shared out among its devices: arithmetic, and a loan.

Half of the threads are divided evenly: these are each device's own, and no other device ever
takes them, whatever hangs. The other half is shared: a device with more to do borrows from it,
so that one busy disk is not held to a hundredth of the threads because there are a hundred
disks. What one device may hold in all is limited, so that one that hangs does not borrow
everything.

    threads  devices  own each  shared  most for one
         10        1         5       5            10
         20        2         5      10            10
        100       10         5      50            10
        100       30         1      70            10
        100      100         1       0            10
        100      500         1       0            10
        200        1       100     100           200

Worker processes share out what one device may hold, so that a disk which hangs does not hold ten
threads in each of them. Two are the least: with one, a long call would stop all other requests of
its process for the device.

    processes     1   2   3   4   5  16
    most in each  10  5   4   3   2   2

With more devices than threads each still has one of its own, so more may be promised than
there are. That is made good when it matters: `mogstored.devices.watchdog` starts a thread for
each one that a device does not give back.
"""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

# What a device may hold in all processes together, unless there are more threads for each.
MOST = 10
_LEAST_IN_A_PROCESS = 2
# Of a process, unless their number is configured.
_MAX_THREADS = 100


class Shares(NamedTuple):
    """Numbers of threads, as `share_out` divides them."""

    own: int
    """For each device alone."""
    shared: int
    """Beside these, for all devices together."""
    most: int
    """For one device, its own included."""


def most_in_each(processes: int) -> int:
    """Return what a device may hold in each of so many processes that serve."""
    return max(_LEAST_IN_A_PROCESS, -(-MOST // max(1, processes)))


def default_threads(devices: int, most: int) -> int:
    """Return how many threads a process has, of which a device may hold `most`."""
    return min(most * max(1, devices), _MAX_THREADS)


def share_out(threads: int, devices: int, most: int = MOST) -> Shares:
    """Divide `threads`, at least 1, among `devices`, each of which may hold `most`."""
    devices = max(1, devices)
    own = max(1, threads // (2 * devices))
    return Shares(own, max(0, threads - own * devices), max(most, threads // devices))


class Borrower(Protocol):
    """A device whose queue waits for a slot to borrow."""

    def borrow(self) -> None:
        """Use a slot that was taken for it, or give it back."""


class SharedSlots:
    """The slots that all devices of the process share, and the devices that wait for one.

    A slot that comes back goes to the device that has waited longest. `give` and `resize`
    only count; their caller calls `hand_out` next, without any lock: it enters devices.

    **Threads:** any. `_lock` guards the numbers and the queue; it is held for a few
    instructions only, and may be taken while a device's is held.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        # In the order of their coming, each once.
        self._waiting: dict[Borrower, None] = {}
        self._lock = threading.Lock()

    def take(self, borrower: Borrower) -> bool:
        """Take one, or queue behind the devices that wait."""
        with self._lock:
            if self._free <= 0 or self._waiting:
                self._waiting[borrower] = None
                return False
            self._free -= 1
            return True

    def give(self) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += 1

    def resize(self, size: int) -> None:
        """Change how many there are; slots in use are returned as usual."""
        with self._lock:
            self._free += size - self._size
            self._size = size

    def hand_out(self) -> None:
        """Let the devices that wait have what is free; called without any lock."""
        # Read without the lock: a device joins an empty queue only when nothing is free.
        while self._waiting:
            with self._lock:
                if self._free <= 0 or not self._waiting:
                    return
                borrower = next(iter(self._waiting))
                del self._waiting[borrower]
                self._free -= 1
            borrower.borrow()
