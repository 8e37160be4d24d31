"""How long a wait may be, the same on every backend."""

from __future__ import annotations

# epoll_wait counts milliseconds in a C int, which is 24.8 days.
LONGEST_S = 24 * 86400.0


def clip_timeout(timeout_s: float) -> float | None:
    """Return what a kernel takes: 0 for what is below it, None (for ever) above `LONGEST_S`.

    **Raises:** `ValueError` for what is no number.
    """
    if timeout_s > LONGEST_S:
        return None
    if timeout_s >= 0:
        return timeout_s
    if timeout_s < 0:
        # A kernel would take it for: as long as it takes.
        return 0
    raise ValueError(f"{timeout_s!r} is no time to wait")
