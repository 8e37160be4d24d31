"""Find out whether the worker threads still make progress.

A sign of life to the service manager is worth nothing when it comes from a thread that does
none of the work. So the sign is carried through the line of ready tasks like everything
else: it was stepped, so others are. Disks that hang do not stop it, since each holds its own
threads only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mogpoll import Next


class Pulse:
    """A task without a descriptor that goes round through a pool.

    **Threads:** `beat` from the main one; `_stepped` is written by turns, never at once.
    """

    def __init__(self, resume: Callable[[Any], None]) -> None:
        self._resume = resume
        self._stepped = True

    def beat(self) -> bool:
        """Say whether the pool has stepped since the last beat, and ask for another."""
        if not self._stepped:
            return False
        self._stepped = False
        self._resume(self)
        return True

    def fileno(self) -> int:
        return -1

    def step(self, _workspace: object) -> Next:
        self._stepped = True
        return Next.PARKED

    def close(self) -> None:
        pass
