"""Signals become items of a queue that the main thread waits on.

Handlers do nothing: Python only runs them in the main thread, between two instructions.
What ends the main thread's wait is the byte that the C-level handler writes into a socket
at once, whichever thread was hit.
"""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

# No signal may end the process by its default action. These mean something to other
# daemons, and an operator may send them out of habit.
_IGNORED_IN_EFFECT = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGWINCH)


class SignalQueue:
    """Receives the process's signals; made and used in the main thread."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*STOPPING, *_IGNORED_IN_EFFECT):
            signal.signal(number, _do_nothing)

    def wait(self, timeout_s: float | None = None) -> set[int]:
        """Return the numbers of the signals that came; empty when the time is over."""
        select.select([self._reader], [], [], timeout_s)
        try:
            return set(self._reader.recv(4096))
        except BlockingIOError:
            return set()


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
