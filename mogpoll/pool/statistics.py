"""What a pool does now, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The figures of one moment; they are read one after the other, while the pool works on."""

    threads_waiting: int
    """For an event."""
    threads_busy: int
    """In a step."""
    threads_parked: int
    """Kept for when the others are stuck."""
    steps: int
    """Finished since the start, those of threads that have ended as well."""
    tasks: int
    """Added and not closed yet."""
    armed: int
    """That wait for the poller, `notify` or a deadline."""
    queued: int
    """To be stepped, ready or not: notified, resumed, or past their deadline."""
    parked: int
    """Owned by other threads than the pool's."""
    deadlines: int
    """In force."""
    timers: int
    """Of `call_later`, to come."""

    @property
    def threads(self) -> int:
        return self.threads_waiting + self.threads_busy + self.threads_parked
