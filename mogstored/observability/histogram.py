"""How long things took: bounds of buckets, a histogram, and its state as plain data."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

# Upper bounds of the buckets, in seconds; one more bucket holds what took longer.
HTTP_BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
# Few: each device has a histogram for each operation. A device hangs after 2 s.
DEVICE_BOUNDS_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class HistogramState(NamedTuple):
    """A histogram at one time; `counts` is per bucket, not cumulative, the last one unbounded."""

    counts: tuple[int, ...]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.counts)

    def plus(self, other: HistogramState) -> HistogramState:
        """Return both together; the bounds must be the same."""
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return HistogramState(counts, self.seconds + other.seconds)


class Histogram:
    """Counts durations.

    **Threads:** the owner's lock guards it.
    """

    __slots__ = ("_bounds", "_counts", "_seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def state(self) -> HistogramState:
        return HistogramState(tuple(self._counts), self._seconds)
