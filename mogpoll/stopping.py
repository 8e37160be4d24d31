"""A thread that can be brought back from a blocking system call: poke it until it is gone.

A signal interrupts a blocked system call, but CPython then calls it again unless a signal
handler of the main thread raised (PEP 475), so a thread blocked in `socket.accept` never
sees that it should stop. A call through ctypes returns EINTR to Python, and the thread can
look at its flag. Two races remain, and both are met here:

- A signal that lands before the call is made interrupts nothing. So the poke is repeated
  until the thread has ended.
- Signalling a thread that has ended is undefined, and since glibc 2.34 it reports success
  for ever. So the thread's last act is to note its end under a lock, and a poke is sent
  only under that lock.

The poke signal is SIGURG, whose default is to be ignored. An ignored signal interrupts no
call: it needs a handler, which does nothing, and no SA_RESTART, which `signal.signal` sees
to. Everything else is blocked in these threads, so that other signals reach the main one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

POKE_SIGNAL = signal.SIGURG

# How long to wait for a poked thread before poking again. It ends the loop within
# microseconds as a rule; the interval only matters when the signal came too early.
_POKE_INTERVAL_S = 0.005

# Blocking these would only turn a crash into silent undefined behaviour.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


def can_poke() -> bool:
    """Say whether this system can signal a single thread."""
    return hasattr(signal, "pthread_kill")


def install_poke_handler() -> None:
    """Give the poke signal a handler, unless it has one.

    **Raises:** `RuntimeError` when a handler is missing and this is not the main thread.
    """
    if signal.getsignal(POKE_SIGNAL) not in (signal.SIG_DFL, signal.SIG_IGN):
        return
    try:
        signal.signal(POKE_SIGNAL, _do_nothing)
    except ValueError:
        raise RuntimeError(
            "call mogpoll.install_poke_handler() from the main thread before "
            "starting acceptors elsewhere"
        ) from None


def _do_nothing(_signal: int, _frame: FrameType | None) -> None:
    pass


@contextmanager
def signals_blocked(*, but: frozenset[signal.Signals] = frozenset()) -> Iterator[None]:
    """Block signals in this thread, and so in the threads that it starts meanwhile."""
    mask = signal.valid_signals() - _FAULTS - but
    before = signal.pthread_sigmask(signal.SIG_BLOCK, mask)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class PokableThread:
    """A daemon thread that is ended by poking it out of its blocking call.

    `run` must return soon after a call was interrupted and whatever condition it looks at
    says that it should.

    **Threads:** any. `_exit_lock` is held over each signal, and over the thread's note in
    `_exited` that it ends, so that none is sent to an identity which another thread has by then.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._exit_lock = threading.Lock()
        self._exited = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        with signals_blocked(but=frozenset({POKE_SIGNAL})):
            self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def poke_until_gone(self) -> None:
        """Interrupt the thread until it has ended. The caller has told it to stop."""
        while self._thread.is_alive():
            self._poke()
            self._thread.join(_POKE_INTERVAL_S)

    def join(self, timeout_s: float | None = None) -> None:
        self._thread.join(timeout_s)

    def _poke(self) -> None:
        with self._exit_lock:
            if not self._exited and self._thread.ident is not None:
                signal.pthread_kill(self._thread.ident, POKE_SIGNAL)

    def _main(self) -> None:
        try:
            self._run()
        finally:
            with self._exit_lock:
                self._exited = True
