"""Tell whether a thread sleeps in a system call, where the system shows it."""

from __future__ import annotations

import os
import time
from pathlib import Path

# Where nothing is shown, a thread that nobody woke for so long is taken to sleep.
_PAUSE_S = 0.02
_LIMIT_S = 5.0


def is_asleep(thread: int | None, pid: int | None = None) -> bool | None:
    """Say whether the thread sleeps, in a call other than the one for locks.

    None where the system does not tell.
    """
    task = Path(f"/proc/{pid or os.getpid()}/task/{thread}")
    try:
        state = (task / "stat").read_text(encoding="ascii", errors="replace")
        where = (task / "wchan").read_text(encoding="ascii")
    except OSError:
        return None
    is_sleeping = state.rpartition(")")[2].split()[0] == "S"
    return is_sleeping and not where.startswith("futex")


def settle(thread: int | None, pid: int | None = None) -> None:
    """Return once the thread sleeps; where nobody tells, after a pause."""
    deadline = time.monotonic() + _LIMIT_S
    while (asleep := is_asleep(thread, pid)) is False and time.monotonic() < deadline:
        time.sleep(0.0005)
    if asleep is None:
        time.sleep(_PAUSE_S)
