"""How full a device is: the arithmetic, the record, and its seven lines.

Everything is counted in the fragments of the file system first and turned into KiB last:
ZFS has fragments of 512 bytes, and half a KiB divided too early is nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

_KIB = 1024
# FreeBSD lets root dip into the reserve, and then counts what others may still use as a
# negative number, which some layers pass on as an unsigned one.
_NEGATIVE = 1 << 63

_NOT_IN_A_NAME = re.compile(r"[\s\x00-\x1f\x7f]")


class Space(Protocol):
    """What `statvfs` says, as far as it is needed."""

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


class Fill(NamedTuple):
    """The numbers of a usage record."""

    available_kib: int
    total_kib: int
    used_kib: int
    use_percent: int


def measure(space: Space) -> Fill:
    """Work out how full a file system is, for those who are not root.

    The tracker takes a record without any used or total KiB for a failing device, so both
    are at least 1. The total is never less than what is used and available together.
    """
    fragment = space.f_frsize or space.f_bsize
    available = space.f_bavail if 0 <= space.f_bavail < _NEGATIVE else 0
    used = max(0, space.f_blocks - space.f_bfree)
    total = used + available
    percent = min(100, -(-100 * used // total)) if total else 0
    available_kib = available * fragment // _KIB
    used_kib = max(1, used * fragment // _KIB)
    total_kib = max(total * fragment // _KIB, used_kib + available_kib)
    return Fill(available_kib, total_kib, used_kib, percent)


def printable_source(source: str) -> str:
    """Return the source of a mount as one word that begins with a slash."""
    word = _NOT_IN_A_NAME.sub("_", source) or "unknown"
    return word if word.startswith("/") else "/" + word


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What is known of one device at one time."""

    devid: int
    time: int
    fill: Fill
    device: str
    """Where the file system comes from: one word that begins with a slash."""
    disk: str
    """The device's directory below the docroot."""

    def text(self) -> bytes:
        """Return the usage file."""
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
