"""The limit of open files: raised as far as it may be, never lowered."""

from __future__ import annotations

import logging
import resource

_log = logging.getLogger("mogstored")


def raise_open_files(wanted: int) -> None:
    """Allow this process `wanted` open files, or as many as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    unlimited = hard == resource.RLIM_INFINITY
    try:
        if not unlimited and hard < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        else:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OverflowError, OSError):
        # Only the superuser may raise the hard limit.
        granted = soft if unlimited else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    # FreeBSD grants kern.maxfilesperproc at most, and reports success.
    granted = max_open_files()
    if granted < wanted:
        _log.warning("cannot open %d files as maxconns asks, only %d", wanted, granted)


def max_open_files() -> int:
    """Return how many files this process may have open now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2**20
