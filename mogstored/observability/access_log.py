"""The access log of a serving process: written by a thread of its own, and bounded.

A request leaves an `Exchange` in a queue. The thread looks at the queue twenty times a second
while there is traffic, and sleeps while there is none. What the disk or the reader does not take
stays in the queue; while that is full, exchanges are dropped and counted. So a full or hung disk
costs lines of the access log, and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from time import monotonic

from mogpoll.threads import start_thread
from mogstored.log.printable import reason
from mogstored.observability.access_lines import LONG_HEAD, access_format, shorten
from mogstored.observability.access_target import Message, Target
from mogstored.observability.exchange import Plain

_log = logging.getLogger("mogstored")

# Some seconds of a busy process. An exchange has some hundred bytes, 3 KiB if clients want it so.
MAX_WAITING = 8192

# From the first exchange to the write that has it.
_GATHER_S = 0.05
# After a write that failed or found no room, in the end.
_MAX_RETRY_S = 1.0
# Formatted in one go. A worker that comes from a system call meanwhile may have to wait for the
# interpreter lock, until the write releases it.
_BATCH = 256

# From the first lost line to the message that counts them, and from that to the next.
_FIRST_REPORT_S = 1.0
_REPORT_S = 10.0

# How long a stop waits at most.
STOP_S = 1.0
_LAST_RETRY_S = 0.05

_TOO_SLOW = "it is not taken fast enough"


class AccessLog:
    """Takes exchanges, and writes their lines to `destination`: a path, `-` or `syslog`.

    `format_name` is one of `FORMATS`; `syslog_socket` overrides the system's own.

    **Threads:** `append` from any, the other methods from the main one. The queue is touched by
    single operations of a deque. `_lock` guards the count of what was lost; an exchange that finds
    room does not take it. `_target`, `_format` and `_unsent` are the log thread's, and a stop
    reads `_unsent_lines` beside it. That holds `_turn` while a message is on its way from the
    queue to the target, so that a stop counts each line once. It begins none after `_counted` is
    set.
    """

    def __init__(
        self, destination: str, format_name: str, *, syslog_socket: str | None = None
    ) -> None:
        self.dropped = 0
        """Exchanges that are in no line."""
        self._destination = destination
        self._syslog_socket = syslog_socket
        self._waiting: deque[Plain] = deque()
        self._lock = threading.Lock()
        self._reported = 0
        self._report_at = 0.0
        self._trouble = self._lost_to = _TOO_SLOW
        self._thread: threading.Thread | None = None
        self._is_asleep = False
        self._reopening = threading.Event()
        self._news = threading.Event()
        self._ends_at: float | None = None
        self._end = threading.Event()
        self._target: Target | None = None
        self._format = access_format(format_name)
        self._unsent: deque[Message] = deque()
        self._unsent_lines = 0
        self._turn = threading.Lock()
        self._counted = threading.Event()

    def append(self, exchange: Plain) -> None:
        """Log the exchange, or drop and count it; never waits."""
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING:
            self._lose(1)
            return
        # The third is the head.
        if len(exchange[2]) > LONG_HEAD:
            exchange = shorten(exchange)
        waiting.append(exchange)
        if self._is_asleep:
            self._is_asleep = False
            self._news.set()

    def start(self) -> None:
        """Start the thread, which opens the destination.

        **Raises:** `ThreadRefused`.
        """
        self._thread = start_thread(self._run, "access-log", lasting=True)

    def reopen(self) -> None:
        """Have the path opened again, after the file was renamed; no line is lost.

        The file is not reopened when this returns: its disk may hang.
        """
        self._reopening.set()
        self._news.set()

    def stop(self) -> None:
        """Write what is left, for `STOP_S` at most."""
        self._ends_at = monotonic() + STOP_S
        self._end.set()
        self._news.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(max(0.0, self._ends_at - monotonic()))
            self._counted.set()
            # Refused while a disk hangs: then only the write that is under way may follow.
            is_between_writes = self._turn.acquire(timeout=_LAST_RETRY_S)
            self._lose(self._count_left())
            if is_between_writes:
                self._turn.release()
            self._report(at_once=True)

    # The log thread.

    def _run(self) -> None:
        retry_s = _GATHER_S
        is_done = self._write_all()
        while not self._end.is_set():
            if is_done:
                self._sleep()
            self._end.wait(retry_s)
            is_done = self._write_all()
            retry_s = _GATHER_S if is_done else min(2 * retry_s, _MAX_RETRY_S)
            self._report()
        while not self._write_all() and monotonic() < (self._ends_at or 0.0):
            time.sleep(_LAST_RETRY_S)
        if self._target is not None:
            self._target.sink.close()

    def _sleep(self) -> None:
        """Wait until there is something to write or to report."""
        self._news.clear()
        self._is_asleep = True
        # One that came before `_is_asleep` was seen has not set `_news`.
        if not (self._waiting or self._reopening.is_set() or self._end.is_set()):
            self._news.wait(self._report_in_s())
        self._is_asleep = False

    def _write_all(self) -> bool:
        """Write what is there; return False if something is left."""
        try:
            is_done = self._write_to(self._open())
        except OSError as error:
            self._trouble = reason(error)
            return False
        self._trouble = _TOO_SLOW
        return is_done

    def _write_to(self, target: Target) -> bool:
        while True:
            with self._turn:
                if self._counted.is_set():
                    return False
                try:
                    message = self._next(target)
                    if message is None:
                        return target.sink.finish()
                    if not target.sink.take(message.content):
                        return False
                except (BrokenPipeError, ConnectionResetError) as error:
                    # A reader that is gone does not come back.
                    self._trouble = reason(error)
                    self._lose(self._drop_all(target))
                    return True
                self._unsent_lines -= self._unsent.popleft().lines

    def _open(self) -> Target:
        if self._target is None:
            self._target = self._open_first()
        elif self._reopening.is_set():
            self._reopening.clear()
            try:
                self._target.reopen()
            except OSError as error:
                _log.error(
                    "cannot open %s again: %s; the access log goes on in the old file",
                    self._destination,
                    reason(error),
                )
        return self._target

    def _open_first(self) -> Target:
        try:
            return Target(self._destination, self._syslog_socket)
        except OSError as error:
            if self._trouble == _TOO_SLOW:
                # The first time. A start has tried it before, but not a new configuration.
                _log.error("cannot open access_log %s: %s", self._destination, reason(error))
            raise

    def _next(self, target: Target) -> Message | None:
        """Return the next message, which stays in `_unsent`; None if all is written."""
        if not self._unsent and self._waiting:
            count = min(len(self._waiting), _BATCH)
            batch = [self._waiting.popleft() for _ in range(count)]
            try:
                self._unsent = deque(target.messages(self._format(batch)))
            except BaseException:
                self._lose(count)
                raise
            self._unsent_lines = count
        return self._unsent[0] if self._unsent else None

    def _drop_all(self, target: Target) -> int:
        """Drop what is not written; return how many lines that is."""
        dropped = target.count_left() + self._unsent_lines
        target.sink.abandon()
        self._unsent.clear()
        self._unsent_lines = 0
        while self._waiting:
            self._waiting.popleft()
            dropped += 1
        return dropped

    def _count_left(self) -> int:
        begun = 0 if self._target is None else self._target.count_left()
        return len(self._waiting) + begun + self._unsent_lines

    # What was lost.

    def _lose(self, count: int) -> None:
        if not count:
            return
        with self._lock:
            if self.dropped == self._reported:
                self._report_at = max(self._report_at, monotonic() + _FIRST_REPORT_S)
            self.dropped += count
            self._lost_to = self._trouble
        self._report()

    def _report(self, *, at_once: bool = False) -> None:
        """Log how many lines were lost, unless that was done lately."""
        with self._lock:
            now = monotonic()
            lost = self.dropped - self._reported
            if not lost or (now < self._report_at and not at_once):
                return
            self._reported = self.dropped
            self._report_at = now + _REPORT_S
            cause = self._lost_to
        _log.warning("access log %s: %d lines were lost: %s", self._destination, lost, cause)

    def _report_in_s(self) -> float | None:
        with self._lock:
            if self.dropped == self._reported:
                return None
            return max(0.0, self._report_at - monotonic())
