"""Wait for a condition, never for a stretch of time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PAUSE_S = 0.005


def wait_until(claim: Callable[[], object], what: str, timeout: float = 10.0) -> None:
    """Return as soon as `claim()` is true; fail saying `what` when it does not become so."""
    deadline = time.monotonic() + timeout
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(_PAUSE_S)
