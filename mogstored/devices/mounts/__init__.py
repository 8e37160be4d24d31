"""Which file systems are mounted, from each system's own table."""

from __future__ import annotations

import sys

from mogstored.devices.mounts.table import Mounts

_ON_LINUX = sys.platform == "linux"


def open_mounts() -> Mounts:
    """Return the mounts of this system, read once."""
    if _ON_LINUX:
        from mogstored.devices.mounts.linux import LinuxMounts

        return LinuxMounts()
    from mogstored.devices.mounts.bsd import BSDMounts

    return BSDMounts()
