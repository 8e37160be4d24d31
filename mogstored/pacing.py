"""Do at most once in a while what a client could cause at will."""

from __future__ import annotations

import threading
from time import monotonic


class Pace:
    """Says whether it is time again.

    **Threads:** any. `_lock` guards the time.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._due_at = 0.0

    def is_due(self) -> bool:
        """Say whether the interval has passed since this was last true."""
        now = monotonic()
        with self._lock:
            if now < self._due_at:
                return False
            self._due_at = now + self._interval_s
            return True
