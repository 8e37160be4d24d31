"""Threads in tests: a failure in any of them fails the test, and none is left behind."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from mogpoll.probe.sleeping import is_asleep
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mogpoll.pool.monitor import Monitor
    from mogpoll.stopping import PokableThread

T = TypeVar("T")

# A thread that has not ended by then is stuck; some have thousands of events to take first.
_LIMIT_S = 4 * PATIENCE_S


class Running(Generic[T]):
    """A call that goes on in a thread of its own."""

    def __init__(self, target: Callable[[], T], name: str | None = None) -> None:
        self._target = target
        self._results: list[T] = []
        self._failures: list[BaseException] = []
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def is_over(self) -> bool:
        return not self.thread.is_alive()

    def result(self, timeout_s: float = _LIMIT_S) -> T:
        """Return what the call returned, or raise what it raised; stuck is a failure."""
        join(self.thread, timeout_s)
        if self._failures:
            raise self._failures[0]
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._target())
        except BaseException as failure:
            self._failures.append(failure)


def join(thread: threading.Thread | PokableThread | Monitor, timeout_s: float = _LIMIT_S) -> None:
    """Wait for the end of a thread; one that is stuck is a failure."""
    thread.join(timeout_s)
    assert not thread.is_alive(), f"{thread} is stuck"


def run_all(targets: Iterable[Callable[[], T]], timeout_s: float = _LIMIT_S) -> list[T]:
    """Run all at the same time, and return their results once all have come back."""
    deadline = time.monotonic() + timeout_s
    running = [Running(target) for target in targets]
    # A failure is often why others are stuck, so it is raised first.
    wait_until_over(running, deadline)
    for one in running:
        if one.is_over():
            one.result()
    return [one.result(0.0) for one in running]


def wait_until_over(running: list[Running[T]], deadline: float) -> None:
    for one in running:
        one.thread.join(max(0.0, deadline - time.monotonic()))


def wait_until_asleep(running: Iterable[Running[T]]) -> None:
    """Return once each thread sleeps in a system call other than the one for locks.

    Returns at once on a system that does not show it: a test must be
    right without this, and is only sharper with it.
    """
    for one in running:
        wait_until(partial(may_be_asleep, one.thread), f"{one.thread.name} sleeps in the kernel")


def is_held(lock: threading.Lock | threading.RLock) -> bool:
    """Return whether any thread holds it, be it the caller."""

    def take() -> bool:
        taken = lock.acquire(blocking=False)
        if taken:
            lock.release()
        return taken

    return not Running(take).result()


def may_be_asleep(thread: threading.Thread) -> bool:
    return is_asleep(thread.native_id) is not False
