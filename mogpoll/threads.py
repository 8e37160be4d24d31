"""Start threads, by name, as daemons, with signals blocked (n25).

Containers (`--pids-limit`), systemd (`TasksMax=`) and `ulimit -u` limit the number of threads,
and a new one needs memory for its stack. Each of these is EAGAIN, and Python raises RuntimeError.
Here it becomes `ThreadRefused`, naming the limit if the system shows it.

`Thread.start` hangs if the new thread runs out of memory before it signals that it runs
(https://github.com/python/cpython/issues/140746). So that wait is bounded, and a thread that
comes up later ends at once. To be removed with the last Python that hangs.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from mogpoll.system.limits.threads import name_limit

_log = logging.getLogger("mogpoll")

# Faults of the thread itself: blocking them is undefined behaviour.
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}

# A new thread runs within 1 ms, on a busy machine within 1 s.
_COMES_UP_S = 10.0
# Between log lines of one kind.
_LOG_INTERVAL_S = 10.0
# Before a `lasting` thread runs again after an error.
_AGAIN_S = 0.5


class ThreadRefused(RuntimeError):
    """The system refused to start a thread; the message names the limit."""


def start_thread(
    run: Callable[[], None],
    name: str,
    *,
    lasting: bool = False,
    unblocked: frozenset[signal.Signals] = frozenset(),
) -> threading.Thread:
    """Start a daemon thread that calls `run`, with all signals blocked except `unblocked`.

    A `lasting` thread calls `run` again half a second after an exception, until it returns.

    **Threads:** any.
    **Raises:** `ThreadRefused`; `run` is not called then.
    """
    try:
        return _start(run, name, lasting, unblocked)
    except (RuntimeError, MemoryError) as error:
        raise ThreadRefused(f"no thread for {name}: {_reason(error)}") from None


def try_start_thread(
    run: Callable[[], None], name: str, *, lasting: bool = False
) -> threading.Thread | None:
    """Start an optional thread: as `start_thread`, but log a refusal and return None."""
    try:
        return _start(run, name, lasting, frozenset())
    except (RuntimeError, MemoryError) as error:
        reason = partial(_reason, error)
        _refusals.error("no thread for %s: %s; going on without it", name, reason)
        return None


def _start(
    run: Callable[[], None], name: str, lasting: bool, unblocked: frozenset[signal.Signals]
) -> threading.Thread:
    thread = _Thread(run, name, lasting)
    with signals_blocked(but=unblocked):
        thread.start()
    return thread


def _reason(error: Exception) -> str:
    return name_limit() or str(error) or "too little memory"


@contextlib.contextmanager
def signals_blocked(*, but: frozenset[signal.Signals] = frozenset()) -> Iterator[None]:
    """Block signals in this thread and in the threads that it starts meanwhile (n25)."""
    mask = signal.valid_signals() - _FAULTS - but
    before = signal.pthread_sigmask(signal.SIG_BLOCK, mask)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def log_exception(message: str, *args: object) -> None:
    """Log the current exception; never raises, even if memory runs out.

    Shortages of memory are logged without a traceback, one line in ten seconds.
    """
    if _is_shortage(sys.exception()):
        _shortages.error(message, *args, with_reason=True)
        return
    with contextlib.suppress(Exception):
        _log.exception(message, *args)


class RareLog:
    """Logs errors that may be frequent: one line in ten seconds, with the number left out.

    Never raises, even if memory runs out. Arguments that are callable are called for lines that
    are written.

    **Threads:** any. `_lock` guards the rest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due_at = 0.0
        self._unlogged = 0

    def error(self, message: str, *args: object, with_reason: bool = False) -> None:
        """Log a line; `with_reason` adds the current exception, with a traceback if it has use."""
        now = time.monotonic()
        with self._lock:
            if now < self._due_at:
                self._unlogged += 1
                return
            self._due_at = now + _LOG_INTERVAL_S
            unlogged, self._unlogged = self._unlogged, 0
        with contextlib.suppress(Exception):
            args = tuple(arg() if callable(arg) else arg for arg in args)
            is_shortage = with_reason and _is_shortage(sys.exception())
            if is_shortage:
                message = f"{message}: too little memory"
            if unlogged:
                message, args = f"{message} (%d more since the last such line)", (*args, unlogged)
            _log.error(message, *args, exc_info=with_reason and not is_shortage)


def _is_shortage(error: BaseException | None) -> bool:
    """Return whether lack of memory is the error or its cause; parsers wrap it in their own."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        error = error.__cause__ or error.__context__
    return False


_refusals = RareLog()
_failures = RareLog()
_shortages = RareLog()


class _Thread(threading.Thread):
    """**Threads:** `_claim` is taken once, by the new thread or by the starter that gave it up."""

    def __init__(self, run: Callable[[], None], name: str, lasting: bool) -> None:
        super().__init__(name=name, daemon=True)
        self._claim = threading.Lock()
        self._call = run
        self._lasting = lasting
        self._started = _Arrival(self._claim)

    def run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            while not self._is_over():
                time.sleep(_AGAIN_S)
        finally:
            # A reference cycle if the owner of `run` keeps the thread.
            del self._call

    def _is_over(self) -> bool:
        try:
            self._call()
        except Exception:
            if not self._lasting:
                raise
            _failures.error("%s failed; it tries again", self.name, with_reason=True)
            return False
        return True


class _Arrival(threading.Event):
    """The event that `Thread.start` waits for, with a time limit."""

    def __init__(self, claim: threading.Lock) -> None:
        super().__init__()
        self._claim = claim

    def wait(self, timeout: float | None = None) -> bool:
        if super().wait(_COMES_UP_S if timeout is None else timeout):
            return True
        if timeout is None and self._claim.acquire(blocking=False):
            raise RuntimeError(f"not running after {_COMES_UP_S:g} s")
        return super().wait(timeout)
