"""Signals and errands become items that the main thread waits for.

Handlers do nothing: Python only runs them in the main thread, between two instructions.
What ends the main thread's wait is the byte that the C-level handler writes into a socket
at once, whichever thread was hit. Other threads use the same socket to have the main
thread do what only it may or should do.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections import deque
from collections.abc import Callable
from types import FrameType

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

# No signal may end the process by its default action. These either mean something to this
# node, or to other daemons, and an operator may send them out of habit.
_RECEIVED = (
    *STOPPING,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGWINCH,
    signal.SIGCHLD,
)
# Not a signal's number: an errand.
_ERRAND = 0


class SignalQueue:
    """Receives the process's signals; one per process, made in its main thread.

    A child that is forked makes a queue of its own before it lets signals through, else
    its signals would end up in its parent's queue.

    **Threads:** `call` and `pretend` from any, everything else from the main one.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._errands: deque[Callable[[], None]] = deque()
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _RECEIVED:
            signal.signal(number, _do_nothing)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # Whoever started us may have had some blocked; a master has, while it forks.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, timeout_s: float | None = None, also: int | None = None) -> list[int]:
        """Return the numbers of the signals that came, in order, and run the errands.

        The list is empty when the time is over, when there were errands only, or when the
        descriptor `also` is readable.
        """
        queue = select.poll()
        queue.register(self._reader, select.POLLIN)
        if also is not None:
            queue.register(also, select.POLLIN)
        queue.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        return self.receive()

    def receive(self) -> list[int]:
        """Do as `wait` does, without waiting."""
        try:
            received = self._reader.recv(4096)
        except BlockingIOError:
            return []
        while self._errands:
            self._errands.popleft()()
        return [number for number in received if number != _ERRAND]

    def call(self, errand: Callable[[], None]) -> None:
        """Have the main thread call `errand` soon."""
        self._errands.append(errand)
        self._write(_ERRAND)

    def pretend(self, number: signal.Signals) -> None:
        """Let it look as if signal `number` had come."""
        self._write(number)

    def fileno(self) -> int:
        """Return the descriptor that is readable while something is to be received."""
        return self._reader.fileno()

    def ignore(self) -> None:
        """Let nothing come any more: the interpreter undoes all handlers before it ends.

        Blocked first: one that comes while its handler is being taken away would be told
        to the log, as an `OSError` that nobody can catch ("ignored due to race condition").
        Source: `_PyErr_CheckSignalsTstate` in CPython's Modules/signalmodule.c.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _RECEIVED)
        for number in _RECEIVED:
            signal.signal(number, signal.SIG_IGN)

    def abandon(self) -> None:
        """Release a queue that was inherited by a fork; the parent's is not touched."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def _write(self, number: int) -> None:
        try:
            os.write(self._writer.fileno(), bytes([number]))
        except BlockingIOError:
            # Full of other news: the main thread is awake already. Signals that are lost
            # so were sent thousands of times before.
            return


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
