"""Flush what the outside has not taken yet: log lines, messages between processes.

Writers never wait. What a slow, stopped or restarting reader leaves behind is kept by its writer,
and the main thread offers it again until it is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Protocol

from mogstored.log.bounded_writer import FlushResult

_FIRST_RETRY_S = 0.05
_MAX_RETRY_S = 1.0
# How long a process that ends waits for readers.
EXIT_FLUSH_S = 2.0
_EXIT_RETRY_S = 0.01


class Flushable(Protocol):
    """A writer that keeps what it cannot send."""

    on_pending: Callable[[], None]
    """Called, by any thread, when something is kept."""

    def flush(self) -> FlushResult:
        """Offer what is kept, without waiting."""


class Flusher:
    """The writers of a process, flushed by its main thread; `wake` is called by other threads."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._writers: list[Flushable] = []
        self.interval_s: float | None = None
        """Until the next flush; None while nothing is kept."""

    def add(self, writer: Flushable) -> None:
        writer.on_pending = self._wake
        self._writers.append(writer)

    def remove(self, writer: Flushable) -> None:
        self._writers.remove(writer)

    def flush(self) -> None:
        """Flush every writer once."""
        results = [writer.flush() for writer in self._writers]
        if all(each is FlushResult.DONE for each in results):
            self.interval_s = None
        else:
            self.interval_s = min(2 * (self.interval_s or _FIRST_RETRY_S / 2), _MAX_RETRY_S)


def flush_before_exit(writers: Iterable[Flushable], timeout_s: float = EXIT_FLUSH_S) -> None:
    """Flush until nothing is left, no reader is left, or the time is up."""
    deadline = monotonic() + timeout_s
    pending = list(writers)
    while pending := [each for each in pending if each.flush() is FlushResult.FULL]:
        if monotonic() >= deadline:
            return
        sleep(_EXIT_RETRY_S)
