"""The duties of process 1 of a container: stop signals and orphans.

The kernel drops signals to it that have no handler (pid_namespaces(7)), so TERM needs one from the
start. And it becomes the parent of every orphan: those that it does not reap stay in the process
table, and count against the pids limit.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

from mogstored.children import reap_orphans

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_REAP_RETRY_S = 1.0


def is_init() -> bool:
    return os.getpid() == 1


def end_at_stop_signals() -> None:
    """Let stop signals end the process silently, until the node installs its own handlers."""
    if not is_init():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return
    for number in _STOP_SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


class OrphanReaper:
    """Used by the main thread of the leading process."""

    def __init__(self) -> None:
        self._is_init = is_init()
        self.interval_s: float | None = None
        """The longest time until `reap` is called again; None if SIGCHLD will announce it."""

    def reap(self) -> None:
        """Reap orphans that have ended; called after each SIGCHLD."""
        if self._is_init:
            self.interval_s = None if reap_orphans() else _REAP_RETRY_S
