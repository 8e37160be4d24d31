"""The processes that this one has started, so that each exit status goes to its starter.

A child is reaped by the code that started it. Any other child was inherited from a parent that
has ended, which happens to process 1 only: `reap_orphans` is for these.

**Threads:** any. `_lock` is held while a process is being started, which a hung disk may delay for
ever, and while orphans are looked for. `_own` is otherwise used by single operations.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

_lock = threading.Lock()
_own: set[int] = set()


def start_child(start: Callable[[], int]) -> int:
    """Call `start`, which returns a PID; call `forget_child` when that is reaped.

    `start` may not fork a process that goes on in Python.

    **Raises:** the exceptions of `start`.
    """
    with _lock:
        pid = start()
        _own.add(pid)
    return pid


def note_child(pid: int) -> None:
    """Note a child that was forked by the thread that reaps orphans."""
    _own.add(pid)


def forget_child(pid: int) -> None:
    """Note that a child of our own was reaped. Does not block."""
    _own.discard(pid)


def reap_orphans() -> bool:
    """Reap, without waiting, all children that have ended and were not started here.

    Returns False when a child of our own has to be reaped, or started, before more are seen.
    """
    if not _lock.acquire(blocking=False):
        return False
    try:
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in _own:
                return False
            os.waitpid(ended.si_pid, os.WNOHANG)
    except ChildProcessError:
        # No child is left.
        pass
    finally:
        _lock.release()
    return True


def describe_exit(returncode: int) -> str:
    """Describe how a process ended, from its exit status or its negative signal."""
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
