"""Wait for what another process does, looking often enough to time it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from bench.peers import PeerFailed

LIMIT_S = 60.0
_LOOK_S = 0.002

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S) -> T:
    """Return what `look` returns once that is true. Raises: PeerFailed when it takes too long."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise PeerFailed(f"not within {limit_s:g} s: {what}")
        time.sleep(_LOOK_S)
    return found
