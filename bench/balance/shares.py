"""How evenly connections are spread over processes: counts and their ratio; no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shares:
    """How many connections each process got."""

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def unevenness(self) -> float:
        """The largest share, in mean shares: 1 is even, the number of processes is all in one."""
        return max(self.counts) * len(self.counts) / self.total

    def __str__(self) -> str:
        return f"{self.unevenness:.2f}  ({' '.join(map(str, self.counts))})"


def shares_of(takers: Iterable[int], processes: int) -> Shares:
    """Count who took each connection. Raises: ValueError for none, or for an unknown process."""
    counts = Counter(takers)
    unknown = counts.keys() - range(processes)
    if unknown or not counts:
        raise ValueError(f"connections taken by processes {sorted(counts)} of {processes}")
    return Shares(tuple(counts[number] for number in range(processes)))
