"""Wait for conditions, never for a time.

A duration is asserted only where it is promised, and then with `promptly`: it fails
when the call is slow every time, and not when the machine was busy once.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

# Factor on all limits: 1 on a bare machine, more in an emulated one.
PATIENCE = float(os.environ.get("MOG_TEST_PATIENCE") or 1.0)
# Far longer than any wait on a busy machine takes, so that only a hang fails.
PATIENCE_S = 30.0 * PATIENCE
_PAUSE_S = 0.005
_ATTEMPTS = 20


def wait_until(claim: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> None:
    """Return once `claim()` is true; fail with `what` if that takes longer than `timeout`."""
    deadline = time.monotonic() + timeout
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(_PAUSE_S)


def promptly(call: Callable[[], T], limit_s: float) -> T:
    """Return the result of `call`, which is repeated until it takes less than `limit_s`."""
    for _ in range(_ATTEMPTS):
        began = time.monotonic()
        result = call()
        taken_s = time.monotonic() - began
        if taken_s < limit_s * PATIENCE:
            return result
    raise AssertionError(f"took {taken_s:.2f} s and more, {_ATTEMPTS} times: {result}")


def unless_late(attempt: Callable[[Callable[[], None]], None], limit_s: float) -> None:
    """Make an attempt that may not pause for `limit_s`; repeat one that did, and failed.

    The attempt calls its argument after whatever ends a pause.
    """
    for _ in range(_ATTEMPTS):
        moments = [time.monotonic()]
        try:
            attempt(lambda: moments.append(time.monotonic()))  # noqa: B023
        except (AssertionError, OSError):
            moments.append(time.monotonic())
            if max(after - before for before, after in pairwise(moments)) < limit_s:
                raise
        else:
            return
    raise AssertionError(f"paused for {limit_s} s and more, {_ATTEMPTS} times")
