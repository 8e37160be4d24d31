"""Wait for a condition, never for a stretch of time.

How long a thing takes is asserted only where it is promised, and then with `promptly`: it fails
when the thing is slow every time, and not when the machine was busy once.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

# How many times longer than on a bare machine things may take: more in one that is emulated.
PATIENCE = float(os.environ.get("MOG_TEST_PATIENCE") or 1.0)
# Far longer than anything takes that is waited for, so that only a real hang fails on a busy
# machine.
PATIENCE_S = 30.0 * PATIENCE
_PAUSE_S = 0.005
_ATTEMPTS = 20


def wait_until(claim: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> None:
    """Return as soon as `claim()` is true; fail saying `what` when it does not become so."""
    deadline = time.monotonic() + timeout
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(_PAUSE_S)


def promptly(call: Callable[[], T], limit_s: float) -> T:
    """Return what `call` returns; it may be called again until it is done within the limit."""
    for _ in range(_ATTEMPTS):
        began = time.monotonic()
        result = call()
        taken_s = time.monotonic() - began
        if taken_s < limit_s * PATIENCE:
            return result
    raise AssertionError(f"took {taken_s:.2f} s and more, {_ATTEMPTS} times: {result}")
