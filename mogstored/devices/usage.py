"""How full a device is: the arithmetic, the record, and its seven lines.

Everything is counted in fragments of the file system first and turned into KiB last: ZFS has
fragments of 512 bytes, and half a KiB divided too early is nothing (n46).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

_KIB = 1024
# FreeBSD lets root dip into the reserve; what others may still use is negative then, and some
# layers pass it on as unsigned.
_NEGATIVE = 1 << 63

_NOT_IN_A_NAME = re.compile(r"[\s\x00-\x1f\x7f]")


class Space(Protocol):
    """A result of `statvfs`, as far as it is needed."""

    @property
    def f_frsize(self) -> int: ...
    @property
    def f_bsize(self) -> int: ...
    @property
    def f_blocks(self) -> int: ...
    @property
    def f_bfree(self) -> int: ...
    @property
    def f_bavail(self) -> int: ...
    @property
    def f_files(self) -> int: ...
    @property
    def f_favail(self) -> int: ...


class Fill(NamedTuple):
    """The numbers of a usage record."""

    available_kib: int
    total_kib: int
    used_kib: int
    use_percent: int
    inodes: int | None = None
    """None where the file system has no fixed number of them."""
    inodes_free: int | None = None


def measure(space: Space) -> Fill:
    """Return how full a file system is for a process that is not root.

    A tracker takes a record with 0 used or total KiB for a failing device, so both are at
    least 1. The total is never less than used and available together.
    """
    fragment = space.f_frsize or space.f_bsize
    available = space.f_bavail if 0 <= space.f_bavail < _NEGATIVE else 0
    used = max(0, space.f_blocks - space.f_bfree)
    total = used + available
    percent = min(100, -(-100 * used // total)) if total else 0
    available_kib = available * fragment // _KIB
    used_kib = max(1, used * fragment // _KIB)
    total_kib = max(total * fragment // _KIB, used_kib + available_kib)
    inodes, inodes_free = space.f_files, space.f_favail
    if not inodes or not 0 <= inodes_free <= inodes:
        # Btrfs says 0 of 0, some network file systems what they like.
        return Fill(available_kib, total_kib, used_kib, percent)
    return Fill(available_kib, total_kib, used_kib, percent, inodes, inodes_free)


def printable_source(source: str) -> str:
    """Return the source of a mount as one word: `/dev/sda1`, `tmpfs`, `host:/export`."""
    return _NOT_IN_A_NAME.sub("_", source) or "/unknown"


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """How full one device was at one time, in seconds since the epoch."""

    devid: int
    time: int
    fill: Fill
    device: str
    """The source of its file system, as one word."""
    disk: str
    """The device's directory below the docroot."""

    def as_full(self) -> UsageRecord:
        """Return the record without any room; trackers subtract `used` from `total`."""
        fill = self.fill
        full = fill._replace(available_kib=0, used_kib=fill.total_kib, use_percent=100)
        return replace(self, fill=full)

    def text(self) -> bytes:
        """Return the content of the usage file."""
        fill = self.fill
        return os.fsencode(
            f"available: {fill.available_kib}\n"
            f"device: {self.device}\n"
            f"disk: {self.disk}\n"
            f"time: {self.time}\n"
            f"total: {fill.total_kib}\n"
            f"use: {fill.use_percent}%\n"
            f"used: {fill.used_kib}\n"
        )
