"""Tell whether a thread sleeps in a system call, where the system shows it."""

from __future__ import annotations

import time
from pathlib import Path

from mogpoll.threadstate import state_of

# Where nothing is shown, a thread that nobody woke for so long is taken to sleep.
_PAUSE_S = 0.02
_LIMIT_S = 5.0


def is_asleep(thread: int | None, pid: int | None = None) -> bool | None:
    """Say whether the thread sleeps, in a call other than the one for locks.

    None where the system does not tell.
    """
    state = state_of(thread, pid)
    try:
        where = Path(f"/proc/{pid or 'self'}/task/{thread}/wchan").read_text(encoding="ascii")
    except OSError:
        return None
    if state is None:
        return None
    return state == "S" and not where.startswith("futex")


def settle(thread: int | None, pid: int | None = None) -> None:
    """Return once the thread sleeps; where nobody tells, after a pause."""
    deadline = time.monotonic() + _LIMIT_S
    while (asleep := is_asleep(thread, pid)) is False and time.monotonic() < deadline:
        time.sleep(0.0005)
    if asleep is None:
        time.sleep(_PAUSE_S)
