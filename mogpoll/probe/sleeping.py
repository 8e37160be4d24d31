"""Whether a thread sleeps in a system call, from /proc."""

from __future__ import annotations

import time
from pathlib import Path

from mogpoll.system.threadstate import state_of

# Without /proc, a thread is assumed to sleep after this long.
_PAUSE_S = 0.02
_LIMIT_S = 5.0


def is_asleep(thread: int | None, pid: int | None = None) -> bool | None:
    """Return whether the thread sleeps in a call other than futex; None if unknown."""
    state = state_of(thread, pid)
    try:
        where = Path(f"/proc/{pid or 'self'}/task/{thread}/wchan").read_text(encoding="ascii")
    except OSError:
        return None
    if state is None:
        return None
    return state == "S" and not where.startswith("futex")


def settle(thread: int | None, pid: int | None = None) -> None:
    """Wait until the thread sleeps; without /proc, pause instead."""
    deadline = time.monotonic() + _LIMIT_S
    while (asleep := is_asleep(thread, pid)) is False and time.monotonic() < deadline:
        time.sleep(0.0005)
    if asleep is None:
        time.sleep(_PAUSE_S)
