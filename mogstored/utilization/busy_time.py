"""Milliseconds that each disk has been busy, as the kernel counts them.

Linux has a line for each disk in /proc/diskstats: two numbers, a name, and statistics, of
which the tenth is the time with a request in flight. New kernels add columns at the end, and
lxcfs leaves some out there: rely on the order, not on the number of columns.
https://docs.kernel.org/admin-guide/iostats.html
"""

from __future__ import annotations

import os
from typing import NamedTuple

from mogstored.log.printable import reason
from mogstored.utilization.report import FirstFault
from mogstored.utilization.sampled_feed import Counters

_NAME, _BUSY_MS = 2, 12


class Diskstats(NamedTuple):
    """The counters of /proc/diskstats, and the first line that is not understood."""

    busy_ms: dict[str, int]
    odd_line: str | None


def parse_diskstats(text: bytes) -> Diskstats:
    """Read each line on its own; the first of two lines for one disk counts."""
    busy_ms: dict[str, int] = {}
    odd_line = None
    for line in text.splitlines():
        fields = line.split()
        try:
            name, milliseconds = os.fsdecode(fields[_NAME]), int(fields[_BUSY_MS])
        except (IndexError, ValueError):
            if fields and odd_line is None:
                odd_line = os.fsdecode(line.strip())
        else:
            busy_ms.setdefault(name, milliseconds)
    return Diskstats(busy_ms, odd_line)


class LinuxCounters:
    """The counters of /proc/diskstats; the first fault is logged, and no other.

    **Threads:** one.
    """

    def __init__(self, path: str = "/proc/diskstats") -> None:
        self._path = path
        self._complain = FirstFault()

    def __call__(self) -> Counters:
        try:
            with open(self._path, "rb") as file:
                stats = parse_diskstats(file.read())
        except OSError as error:
            self._complain(f"cannot read {self._path}: {reason(error)}")
            return {}
        if stats.odd_line is not None:
            self._complain(f"a line of {self._path} is not understood: {stats.odd_line}")
        elif not stats.busy_ms:
            self._complain(f"{self._path} lists no disk")
        return stats.busy_ms


class PsutilCounters:
    """The counters of other systems; the first fault is logged, and no other.

    **Threads:** one.
    """

    def __init__(self) -> None:
        self._complain = FirstFault()

    def __call__(self) -> Counters:
        import psutil

        try:
            disks = psutil.disk_io_counters(perdisk=True, nowrap=False)
        except (OSError, RuntimeError, ValueError) as error:
            # Jails may hide the counters.
            self._complain(str(error))
            return {}
        busy_ms = {
            name: counters.busy_time
            for name, counters in (disks or {}).items()
            if hasattr(counters, "busy_time")
        }
        if not busy_ms:
            self._complain("the system counts no disk's busy time")
        return busy_ms
