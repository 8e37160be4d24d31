"""The budgets of the node: what it has to reach, beside which peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.base.figures import Sample, by_round, cpu_us, rate

CPU, RATE, P99 = "CPU ratio", "rate ratio", "p99 ratio"


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit for `figure`, the words of the table."""

    figure: str
    limit: float
    at_least: bool = False
    unit: str = ""

    def is_met(self, value: float) -> bool:
        """Judge the value as it is printed, with two decimals."""
        shown = round(value, 2)
        return shown >= self.limit if self.at_least else shown <= self.limit

    def ratios(self, ours: Sequence[Sample], base: Sequence[Sample]) -> list[float]:
        """The ratios that this goal judges, round by round."""
        figure: Callable[[Sample], float] = rate if self.figure == RATE else cpu_us
        return by_round(ours, base, figure)

    def __str__(self) -> str:
        return f"{self.figure} {'>=' if self.at_least else '<='} {self.limit:g}{self.unit}"


# Each is a part of the scenario `budgets`; the other scenarios judge by the same ones.
GOALS = {
    # To nginx; of the processor time for a request where it is a ratio of that.
    "get-1k": Goal(CPU, 1.3),
    "get-1k-cmogstored": Goal(CPU, 1.0),
    "get-16k": Goal(CPU, 1.3),
    "get-64k": Goal(CPU, 1.2),
    # To the better of nginx and cmogstored, where there is one.
    "get-1m": Goal(RATE, 1.0, at_least=True),
    "get-100m": Goal(RATE, 1.0, at_least=True),
    "put-1k": Goal(CPU, 1.15),
    "put-1k-ext4": Goal(CPU, 1.02),
    "put-1k-xfs": Goal(CPU, 1.15),
    "put-64k": Goal(CPU, 1.0),
    "put-1m": Goal(CPU, 1.0),
    "put-1g": Goal(CPU, 1.0),
    # To hashlib alone, in one thread.
    "put-md5": Goal(RATE, 0.95, at_least=True),
    "digest": Goal(RATE, 0.95, at_least=True),
    # To the same node with 4 disk threads; without the hang; without the idle connections.
    "threads": Goal(CPU, 1.1),
    "hung": Goal(P99, 1.2),
    # What 10,000 connections add to the process; the interpreter itself takes twice that.
    "idle": Goal("RSS growth", 12.0, unit=" MiB"),
    "beside-idle": Goal(CPU, 1.1),
    # All processes of a node before clients, and what a worker more adds.
    "process": Goal("PSS", 22.0, unit=" MiB"),
    "further-worker": Goal("PSS", 12.0, unit=" MiB"),
    # To the same node with 1 device, and to the same 500 without usage rounds.
    "devices": Goal(CPU, 1.1),
    "usage": Goal(P99, 1.2),
    "balance": Goal("largest/mean", 1.05),
}
# To the same node before a change.
AGAINST = Goal(CPU, 1.03)
