"""The choice of the source of utilization: the kernel's counters, or a command like iostat."""

from __future__ import annotations

import sys

from mogstored.utilization.busy_time import LinuxCounters, PsutilCounters
from mogstored.utilization.iostat_feed import IostatFeed
from mogstored.utilization.report import UtilizationFeed
from mogstored.utilization.sampled_feed import SampledFeed

# As iostat prints on each system. Trackers expect whole numbers, and accept those of Linux.
_ON_LINUX = sys.platform == "linux"
_DECIMALS = 2 if _ON_LINUX else 0


def open_feed(*, iostat_command: str | None, enabled: bool) -> UtilizationFeed:
    """Return the feed of this node; it is not started yet.

    `iostat_command`, a line for the shell, replaces the node's own sampling. Unless `enabled`,
    no disk is reported.
    """
    if not enabled:
        return SampledFeed(dict, decimals=_DECIMALS)
    if iostat_command:
        return IostatFeed(iostat_command)
    counters = LinuxCounters() if _ON_LINUX else PsutilCounters()
    return SampledFeed(counters, decimals=_DECIMALS)
