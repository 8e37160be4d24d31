"""A queue of signals and callbacks that the main thread waits for.

Python-level handlers do nothing: they run in the main thread only, between two instructions. The
C-level handler writes a byte into a socket at once, in whichever thread received the signal, and
that ends the main thread's wait. Other threads queue callbacks through the same socket.

That has room for some hundred bytes (278 on Linux), and a signal that finds none is lost. So other
threads write no second byte while one of theirs is unread.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType

from mogpoll.system.timeouts import next_wait
from mogstored.process.flusher import Flusher
from mogstored.process.main_loop import survive

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

# No signal may end the process by its default action. These mean something to the node, or to
# other daemons, so that an operator may send them out of habit.
_RECEIVED = (
    *STOPPING,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGWINCH,
    signal.SIGCHLD,
)
# Wakes the main thread; no signal has number 0.
_WAKE = 0


class SignalQueue:
    """Receives the process's signals; one per process, created by its main thread.

    A forked child creates its own queue before it unblocks signals; until then its signals would
    arrive in its parent's queue.

    **Threads:** `call` and `inject` from any, everything else from the main one. `_lock` guards
    `_is_woken`; reentrant, because a finalizer may log, and so wake, at any line.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._callbacks: deque[Callable[[], None]] = deque()
        self._lock = threading.RLock()
        self._is_woken = False
        self.flusher = Flusher(self._wake)
        """Flushed by `wait` and `receive`."""
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _RECEIVED:
            signal.signal(number, _do_nothing)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # The parent may have blocked some; a master does while it forks.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, timeout_s: float | None = None, also: int | None = None) -> list[int]:
        """Run queued callbacks; return the numbers of the signals received, in order.

        The list is empty after a time-out, when only callbacks were queued, and when descriptor
        `also` became readable.
        """
        queue = select.poll()
        queue.register(self._reader, select.POLLIN)
        if also is not None:
            queue.register(also, select.POLLIN)
        timeout_s = next_wait(soonest(timeout_s, self.flusher.interval_s))
        queue.poll(None if timeout_s is None else timeout_s * 1000)
        return self.receive()

    def receive(self) -> list[int]:
        """As `wait`, without waiting."""
        received = b""
        with contextlib.suppress(BlockingIOError):
            received = self._reader.recv(4096)
        with self._lock:
            self._is_woken = False
        survive(self.flusher.flush)
        while self._callbacks:
            survive(self._callbacks.popleft())
        return [number for number in received if number != _WAKE]

    def call(self, callback: Callable[[], None]) -> None:
        """Queue `callback` for the main thread; an exception it raises is logged."""
        self._callbacks.append(callback)
        self._wake()

    def inject(self, number: signal.Signals) -> None:
        """Act as if signal `number` was received."""
        self._write(number)

    def fileno(self) -> int:
        """Return the descriptor that is readable while something is queued."""
        return self._reader.fileno()

    def ignore(self) -> None:
        """Ignore all signals from now on: the interpreter removes its handlers before it exits.

        They are blocked first: a signal that arrives while its handler is being removed is logged
        as an `OSError` that cannot be caught ("ignored due to race condition"). Source:
        `_PyErr_CheckSignalsTstate` in CPython's Modules/signalmodule.c.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _RECEIVED)
        for number in _RECEIVED:
            signal.signal(number, signal.SIG_IGN)

    def abandon(self) -> None:
        """Release a queue inherited by a fork; the parent's is not affected."""
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()

    def disown(self) -> int:
        """Release a queue inherited by a fork, except for the descriptor returned.

        A zero byte written to that ends the wait of the parent.
        """
        signal.set_wakeup_fd(-1)
        return self._writer.fileno()

    def _wake(self) -> None:
        with self._lock:
            if not self._is_woken:
                self._write(_WAKE)
                self._is_woken = True

    def _write(self, number: int) -> None:
        # If the socket is full, hundreds of signals have woken the main thread.
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer.fileno(), bytes([number]))


def soonest(*times_s: float | None) -> float | None:
    """Return the shortest of the times that are not None."""
    return min((each for each in times_s if each is not None), default=None)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
