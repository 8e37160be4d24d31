"""The same number of serving threads, laid out as one queue or as many.

All layouts run the same program with the same threads; they differ in how many threads wait on
one poller, in how many processes there are, and in how connections come to them.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.balance.ways import Way


@dataclass(frozen=True, slots=True)
class Layout:
    title: str
    processes: int
    threads: int
    """In each process; they wait on its one queue."""
    way: Way

    def __str__(self) -> str:
        return f"{self.title} ({self.processes} x {self.threads})"


def layouts(processes: int, threads_each: int) -> list[Layout]:
    """All have `processes` x `threads_each` threads in total."""
    total = processes * threads_each
    return [
        Layout("one queue", 1, total, Way.BLOCKING),
        Layout("queue per process, blocking accept", processes, threads_each, Way.BLOCKING),
        Layout("queue per thread, blocking accept", total, 1, Way.BLOCKING),
        Layout("queue per thread, SO_REUSEPORT", total, 1, Way.REUSEPORT),
    ]
