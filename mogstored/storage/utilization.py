"""Choose where utilization comes from: the kernel's counters, or a command like iostat."""

from __future__ import annotations

import sys

from mogstored.storage.iostat_child import IostatFeed
from mogstored.storage.relay import PipeFeed, ReportSender, serialize
from mogstored.storage.report import OnReport, Report, UtilizationFeed, format_block
from mogstored.storage.sampling import Counters, SampledFeed

__all__ = [
    "OnReport",
    "PipeFeed",
    "Report",
    "ReportSender",
    "UtilizationFeed",
    "format_block",
    "open_feed",
    "serialize",
]

# As iostat prints on each system. Trackers weigh whole numbers only, and have learned to
# live with Linux.
_DECIMALS = 2 if sys.platform == "linux" else 0


def open_feed(*, iostat_command: str | None, enabled: bool) -> UtilizationFeed:
    """Return the feed of this node; it is not started yet.

    `iostat_command` runs in place of our own sampling, unless iostat is not `enabled`.
    """
    if enabled and iostat_command:
        return IostatFeed(iostat_command)
    return SampledFeed(busy_counters, decimals=_DECIMALS)


def busy_counters() -> Counters:
    """Return for how many milliseconds each disk has been busy; empty if nobody counts."""
    import psutil

    try:
        disks = psutil.disk_io_counters(perdisk=True, nowrap=False)
    except (OSError, RuntimeError, ValueError):
        # Containers may hide the counters, and new kernels print new columns.
        return {}
    return {
        name: counters.busy_time
        for name, counters in (disks or {}).items()
        if hasattr(counters, "busy_time")
    }
