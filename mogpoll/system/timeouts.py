"""The range of a time-out, the same for every call that waits."""

from __future__ import annotations

# epoll_wait and poll count milliseconds in a C int, which is 24.8 days.
LONGEST_S = 24 * 86400.0


def clip_timeout(timeout_s: float) -> float | None:
    """Return a time-out that every kernel accepts: None, no limit, below 0 or above `LONGEST_S`.

    **Raises:** `ValueError` for NaN.
    """
    if 0 <= timeout_s <= LONGEST_S:
        return timeout_s
    if timeout_s == timeout_s:
        return None
    raise ValueError(f"a time-out of {timeout_s!r} seconds is not a number")


def next_wait(timeout_s: float | None) -> float | None:
    """Return the time-out of one call in a loop that checks the clock after each."""
    return None if timeout_s is None else min(max(0.0, timeout_s), LONGEST_S)
