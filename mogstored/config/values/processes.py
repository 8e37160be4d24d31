"""How many worker processes: a number, or as many as the processors that the node may use."""

from __future__ import annotations

from dataclasses import dataclass

from mogstored.config.values.scalars import parse_number
from mogstored.config.values.suggestion import did_you_mean

AUTO = "auto"
# What an unsigned int holds, on the systems that the first node of this kind ran on.
MAX_WORKER_PROCESSES = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class ProcessCount:
    """So many processes below a master; 0 is one process without one.

    `auto` is equal to itself, whatever it gives: a reload compares what was written.
    """

    number: int
    is_auto: bool = False
    """Whether it is what `auto` gives on this machine, in this control group."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessCount) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return AUTO if self.is_auto else str(self.number)


def parse_worker_processes(word: str) -> ProcessCount:
    """Return the number that `word` is or stands for.

    **Raises:** `ValueError`.
    """
    if word == AUTO:
        # Late: what only reads or checks a configuration need not load the poller.
        from mogpoll.system.limits.cores import usable_cores

        return ProcessCount(usable_cores(), is_auto=True)
    try:
        return ProcessCount(parse_number(word, 0, MAX_WORKER_PROCESSES))
    except ValueError as error:
        raise ValueError(f"{error}{did_you_mean(word.lower(), [AUTO])}") from None
