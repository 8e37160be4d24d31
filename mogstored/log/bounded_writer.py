"""Write messages to a reader that may be slow, stopped or absent, without ever waiting for it.

A message is sent at once while there is room. Otherwise it is kept, up to a bound, and sent by
`flush`; beyond the bound messages are dropped and counted, and a notice takes their place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, unique
from typing import Protocol

MAX_KEPT_BYTES = 256 * 1024


@unique
class FlushResult(Enum):
    """What a flush came to."""

    DONE = "nothing is kept"
    FULL = "the reader is slow"
    UNREACHABLE = "there is no reader"


class Sink(Protocol):
    """Where messages go."""

    def take(self, message: bytes) -> bool:
        """Send a message, at least in part; return False if there is no room for it.

        **Raises:** `OSError` if the reader is unreachable.
        """

    def finish(self) -> bool:
        """Send the rest of a partly sent message; return False if some is left.

        **Raises:** as `take`.
        """

    def abandon(self) -> None:
        """Drop the rest of a partly sent message: the parent of a forked process sends it."""

    def reopen(self) -> None:
        """Find the reader anew, where it has a name."""

    def close(self) -> None:
        """Release what was opened; the sink is not used any more."""


class BoundedWriter:
    """A queue of whole messages before a sink.

    `describe_loss` returns the notice for a number of lost messages; `on_pending` is called, by
    any thread, when something is kept. With `keeps_unreachable=False`, messages to an unreachable
    sink are lost at once.

    **Threads:** any. `_lock` guards all fields, and is never held over a call that blocks. It is
    reentrant: a finalizer may run at any line, in any thread, and log an error.
    """

    def __init__(
        self,
        sink: Sink,
        describe_loss: Callable[[int], bytes],
        *,
        keeps_unreachable: bool = True,
        max_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        self._sink = sink
        self._describe_loss = describe_loss
        self._keeps_unreachable = keeps_unreachable
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._is_offering = False
        # Messages, and of how many lost ones each is the notice.
        self._kept: deque[tuple[bytes, int]] = deque()
        self._kept_bytes = 0
        self.lost = 0
        """The number of messages that were lost so far."""
        # Of those, a notice was kept or sent.
        self._noticed = 0
        self.on_pending: Callable[[], None] = _do_nothing

    def write(self, message: bytes) -> None:
        """Send a message, keep it, or count it as lost; raises no `Exception`."""
        is_accounted_for = False
        try:
            with self._lock:
                result = self._offer()
                if self._kept and self._kept_bytes + len(message) > self._max_bytes:
                    self.lost += 1
                    is_accounted_for = True
                else:
                    self._keep_notice()
                    self._keep(message)
                    is_accounted_for = True
                    if result is FlushResult.DONE:
                        result = self._offer()
            if result is not FlushResult.DONE:
                self.on_pending()
        except Exception:
            # MemoryError, for example. A message that is kept is sent by the next flush.
            if not is_accounted_for:
                self.note_loss()

    def note_loss(self) -> None:
        """Count a message that could not be formatted."""
        with self._lock:
            self.lost += 1

    def flush(self) -> FlushResult:
        """Send what is kept, as far as there is room."""
        with self._lock:
            return self._offer()

    def reopen(self) -> None:
        """Send from now on to the reader that has the name now; nothing is lost."""
        with self._lock:
            self._sink.reopen()

    def forget(self) -> None:
        """In a forked child, drop what is kept: the parent sends it."""
        with self._lock:
            self._kept.clear()
            self._kept_bytes = self.lost = self._noticed = 0
            self._sink.abandon()

    def close(self) -> None:
        with self._lock:
            self._sink.close()

    def _offer(self) -> FlushResult:
        if self._is_offering:
            # Logged by a finalizer: the call that it interrupted is at work here.
            return FlushResult.FULL
        self._is_offering = True
        try:
            return self._offer_kept()
        finally:
            self._is_offering = False

    def _offer_kept(self) -> FlushResult:
        try:
            while self._kept:
                if not self._sink.take(self._kept[0][0]):
                    return FlushResult.FULL
                self._kept_bytes -= len(self._kept.popleft()[0])
                if not self._kept:
                    self._keep_notice()
            return FlushResult.DONE if self._sink.finish() else FlushResult.FULL
        except OSError:
            if self._keeps_unreachable:
                return FlushResult.UNREACHABLE
            self._lose_kept()
            return FlushResult.DONE

    def _lose_kept(self) -> None:
        # What a finalizer logs from here on is kept in the new one, while the old one is counted.
        kept, self._kept = self._kept, deque()
        size = sum(len(message) for message, _ in kept)
        noticed = sum(noticed for _, noticed in kept)
        # A notice is no message: what it stands for is counted already.
        messages = sum(not noticed for _, noticed in kept)
        self._kept_bytes -= size
        self._noticed -= noticed
        self.lost += messages

    def _keep(self, message: bytes, noticed: int = 0) -> None:
        self._kept.append((message, noticed))
        self._kept_bytes += len(message)

    def _keep_notice(self) -> None:
        count = self.lost - self._noticed
        if count:
            self._keep(self._describe_loss(count), count)
            self._noticed += count


def _do_nothing() -> None:
    pass
