"""What a pool runs (`Task`), what a step returns (`Next`), and why it was called (`Reason`)."""

from __future__ import annotations

from enum import Enum, IntEnum, unique
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mogpoll.interest import Interest


@unique
class Next(IntEnum):
    """What happens to a task after its step."""

    CLOSE = 0
    """Forget and close it."""
    READ = 1
    """Step it when it is readable."""
    WRITE = 2
    """Step it when it is writable."""
    READ_WRITE = 3
    """Step it when it is either."""
    AGAIN = 4
    """Step it when it is writable, after the tasks that are ready now."""
    PARKED = 5
    """Nothing: another thread owns it and calls `WorkerPool.resume`, or has already."""
    NOTIFIED = 6
    """Step it when `WorkerPool.notify` says so, or its deadline has passed.

    It is armed for nothing new: an arming that a notified task has left may step it once more.
    """


# Indexed by Next; None arms nothing.
INTERESTS = (
    None,
    Interest.READ,
    Interest.WRITE,
    Interest.READ_WRITE,
    Interest.WRITE,
    None,
    None,
)


@unique
class Reason(Enum):
    """Why a step was called; see `WorkerPool.reason`."""

    READY = "ready"
    """The poller reported the descriptor."""
    RESUMED = "resumed"
    """`WorkerPool.resume` or `WorkerPool.step_now`, or a claim of the pool that came late."""
    NOTIFIED = "notified"
    """`WorkerPool.notify`."""
    DEADLINE = "deadline"
    """Nothing else called it before its deadline. It may be ready since: try the operation."""


class PoolStopped(RuntimeError):
    """The pool has been stopped: it takes no more tasks and timers."""


Workspace = TypeVar("Workspace", contravariant=True)


class Task(Protocol[Workspace]):
    """What a pool runs, typically a connection."""

    def fileno(self) -> int:
        """Return the descriptor that the task waits on."""

    def step(self, workspace: Workspace) -> Next:
        """Do what can be done now; may block on a disk. One thread at a time calls this.

        A step that gives its task to another thread must not touch it afterwards, and returns
        PARKED. An exception closes the task.
        """

    def close(self) -> None:
        """Release everything. The pool calls this once; it must not raise."""


if TYPE_CHECKING:
    # At run time there are defaults from Python 3.13 on.
    from typing_extensions import TypeVar as _TypeVar

    T = _TypeVar("T", bound=Task[Any], default=Task[Any])
    """The tasks of a pool."""
    W = _TypeVar("W", default=None)
    """What its threads have for the steps."""
else:
    T, W = TypeVar("T"), TypeVar("W")
