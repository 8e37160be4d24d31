"""Open files: their limit (RLIMIT_NOFILE), raised as far as permitted, and closing all of them."""

from __future__ import annotations

import logging
import os
import resource

_log = logging.getLogger("mogstored")


def raise_open_files(wanted: int) -> None:
    """Raise the limit to `wanted`, or as far as the system permits; log a warning if less."""
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
        _log.warning("maxconns is %d, but only %d files may be open", wanted, granted)


def max_open_files() -> int:
    """Return the current limit; 2**20 if there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2**20


def close_all_but(*kept: int) -> None:
    """Close all descriptors but 0, 1, 2 and these, in a forked child."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, max(low, max_open_files()))
