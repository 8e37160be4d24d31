"""What the node has to reach: every budget stands here and nowhere else.

`python -m bench.budgets` measures all of them. The other benches judge by the same goals.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Figure(Enum):
    """What a goal speaks of; the values are the words in the table."""

    CPU_RATIO = "CPU ratio"
    RATE_RATIO = "rate ratio"
    P99_RATIO = "p99 ratio"
    MEMORY_MIB = "RSS growth MiB"
    UNEVENNESS = "largest/mean"


@dataclass(frozen=True, slots=True)
class Goal:
    figure: Figure
    limit: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Judge the value as it is printed, with two decimals."""
        shown = round(value, 2)
        return shown >= self.limit if self.at_least else shown <= self.limit

    def verdict(self, value: float) -> str:
        return "met" if self.is_met(value) else "MISSED"

    def __str__(self) -> str:
        return f"{self.figure.value} {'>=' if self.at_least else '<='} {self.limit:g}"


GOALS = {
    # To nginx; of the processor time for a request where it is a ratio of that.
    "get-1k": Goal(Figure.CPU_RATIO, 1.3),
    "get-1k-cmogstored": Goal(Figure.CPU_RATIO, 1.0),
    "get-64k": Goal(Figure.CPU_RATIO, 1.2),
    # To the better of nginx and cmogstored, where there is one.
    "get-1m": Goal(Figure.RATE_RATIO, 1.0, at_least=True),
    "get-100m": Goal(Figure.RATE_RATIO, 1.0, at_least=True),
    "put-1k": Goal(Figure.CPU_RATIO, 1.2),
    "put-1m": Goal(Figure.CPU_RATIO, 1.0),
    "put-1g": Goal(Figure.CPU_RATIO, 1.0),
    # To hashlib alone, in one thread.
    "put-md5": Goal(Figure.RATE_RATIO, 0.95, at_least=True),
    "digest": Goal(Figure.RATE_RATIO, 0.95, at_least=True),
    # To the same node with 4 disk threads; without the hang; without the idle ones.
    "threads": Goal(Figure.CPU_RATIO, 1.1),
    "hung": Goal(Figure.P99_RATIO, 1.2),
    # What 10,000 connections add to the process; the interpreter itself takes twice that.
    "idle": Goal(Figure.MEMORY_MIB, 12.0),
    "beside-idle": Goal(Figure.CPU_RATIO, 1.1),
    # To the same node with 1 device, and to the same 500 that nobody looks at.
    "devices": Goal(Figure.CPU_RATIO, 1.1),
    "usage": Goal(Figure.P99_RATIO, 1.2),
    "balance": Goal(Figure.UNEVENNESS, 1.05),
}
