"""Threads that can be interrupted in a blocking system call, by a signal ("poke").

CPython repeats an interrupted call unless a signal handler raised, and handlers run in the main
thread only (PEP 475), so a thread blocked in `socket.accept` never sees a stop flag (n21). A
call through ctypes returns EINTR, and the thread can check its flag. Two races (n23):

- A signal before the call interrupts nothing, so pokes repeat until the thread has ended.
- Signalling an ended thread is undefined, and reports success since glibc 2.34. So the thread's
  last act is to set `_exited` under a lock, and pokes are sent under that lock.

The poke signal is SIGURG. An ignored signal interrupts nothing, so it gets a handler that does
nothing, without SA_RESTART, as `signal.signal` installs it (n24). All other signals are blocked
in these threads (n25, `mogpoll.threads`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

from mogpoll.system.timeouts import clip_timeout
from mogpoll.threads import start_thread

POKE_SIGNAL = signal.SIGURG

# Between pokes. The first one ends the thread within microseconds, unless it came too early.
_POKE_INTERVAL_S = 0.005


def install_poke_handler() -> None:
    """Install a handler for SIGURG, with which acceptors are stopped, unless it has one.

    **Raises:** `RuntimeError` if it has none and this is not the main thread.
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


class PokableThread:
    """A daemon thread whose blocking calls can be interrupted.

    `run` checks its own stop condition after an interrupted call, and returns.

    **Threads:** any. `_exit_lock` is held while signalling and while setting `_exited`, so that
    no signal goes to a reused thread identity.
    """

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._name = name
        self._exit_lock = threading.Lock()
        self._exited = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. **Raises:** `ThreadRefused`; `start` may be called again then."""
        self._thread = start_thread(self._main, self._name, unblocked=frozenset({POKE_SIGNAL}))

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def poke_until_gone(self) -> None:
        """Interrupt the thread until it has ended; set its stop condition first."""
        while self.is_alive():
            self._poke()
            self.join(_POKE_INTERVAL_S)

    def join(self, timeout_s: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(None if timeout_s is None else clip_timeout(timeout_s))

    def _poke(self) -> None:
        ident = None if self._thread is None else self._thread.ident
        with self._exit_lock:
            if not self._exited and ident is not None:
                signal.pthread_kill(ident, POKE_SIGNAL)

    def _main(self) -> None:
        try:
            self._run()
        finally:
            with self._exit_lock:
                self._exited = True
