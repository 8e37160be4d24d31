"""What the node has to reach: every goal of the comparison stands here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Figure(Enum):
    """What a goal speaks of; the values are the words in the table."""

    CPU_RATIO = "CPU ratio"
    RATE_RATIO = "rate ratio"
    MEMORY_MIB = "RSS MiB"


@dataclass(frozen=True, slots=True)
class Goal:
    figure: Figure
    limit: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        """Judge the value as it is printed, with two decimals."""
        shown = round(value, 2)
        return shown >= self.limit if self.at_least else shown <= self.limit

    def __str__(self) -> str:
        return f"{self.figure.value} {'>=' if self.at_least else '<='} {self.limit:g}"


# Ratios are to nginx, for `threads` to the same node with 4 threads. Memory is that of the whole
# process, interpreter and all.
GOALS = {
    "get-1k": Goal(Figure.CPU_RATIO, 1.3),
    "get-64k": Goal(Figure.CPU_RATIO, 1.2),
    "get-1m": Goal(Figure.RATE_RATIO, 1.0, at_least=True),
    "put-1k": Goal(Figure.CPU_RATIO, 1.2),
    "put-1m": Goal(Figure.CPU_RATIO, 1.0),
    "threads": Goal(Figure.CPU_RATIO, 1.1),
    "idle": Goal(Figure.MEMORY_MIB, 12.0),
}
