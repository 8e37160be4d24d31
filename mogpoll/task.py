"""What a pool steps (`Task`), and what a step says should happen next (`Next`)."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol, TypeVar

from mogpoll.interest import Interest


class Next(IntEnum):
    """What should happen to a task after its step."""

    CLOSE = 0
    """Forget and close it."""
    READ = 1
    """Step it again when it is readable."""
    WRITE = 2
    """Step it again when it is writable."""
    READ_WRITE = 3
    """Step it again when it is either."""
    AGAIN = 4
    """Step it again once it is writable, after all that are ready now had their turn."""
    PARKED = 5
    """Nothing: somebody else has it already, or will call `WorkerPool.resume`."""


# Indexed by Next; None where nothing is armed.
INTERESTS = (None, Interest.READ, Interest.WRITE, Interest.READ_WRITE, Interest.WRITE, None)

Workspace = TypeVar("Workspace", contravariant=True)


class Task(Protocol[Workspace]):
    """What a pool steps: a connection, as a rule."""

    def fileno(self) -> int:
        """Return the descriptor by which the poller knows this task."""

    def step(self, workspace: Workspace) -> Next:
        """Do what can be done now. Called by one thread at a time.

        After a step has passed its task on to others, it touches nothing of it any more
        and returns PARKED.
        """

    def close(self) -> None:
        """Release everything. Called once, by the pool; must not raise."""
