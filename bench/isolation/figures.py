"""What a run of the load says, and what several of them say together; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.report import LoadError

# A time-out is what a wedged server gives. These must not happen.
_FAULTS = ("connect", "read", "write", "status")


@dataclass(frozen=True, slots=True)
class Run:
    """One run; without any answer the latencies are None."""

    requests: int
    duration_s: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @property
    def rate(self) -> float:
        return self.requests / self.duration_s


def parse_run(text: str) -> Run:
    """Read the line `isolation name=number ...` in what the load printed.

    Raises: LoadError if there is none, or an answer was wrong.
    """
    lines = [line for line in text.splitlines() if line.startswith("isolation ")]
    if len(lines) != 1:
        raise LoadError(f"no report: {text}")
    values = {key: int(value) for key, value in (word.split("=") for word in lines[0].split()[1:])}
    faults = [f"{values[name]} {name}" for name in _FAULTS if values[name]]
    if faults:
        raise LoadError(f"errors during the run ({', '.join(faults)}): {text}")
    times = [values[f"{name}_us"] / 1e3 for name in ("p50", "p99", "max")]
    answered = values["requests"] > 0
    p50, p99, most = times if answered else (None, None, None)
    return Run(values["requests"], values["duration_us"] / 1e6, p50, p99, most)


def both(one: Run, other: Run) -> Run:
    """Return the mean of two runs: of before and after, since the machine changes meanwhile."""
    return Run(
        one.requests + other.requests,
        one.duration_s + other.duration_s,
        _mean(one.p50_ms, other.p50_ms),
        _mean(one.p99_ms, other.p99_ms),
        _mean(one.max_ms, other.max_ms),
    )


def _mean(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else (one + other) / 2


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of what there is; None stands for: longer than was waited for."""
    ordered = sorted(float("inf") if value is None else value for value in values)
    found = median(ordered)
    return None if found == float("inf") else found


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load without and with a bad disk, in turn."""

    without: Run
    during: Run

    @property
    def p99_ratio(self) -> float | None:
        if self.without.p99_ms is None or self.during.p99_ms is None:
            return None
        return self.during.p99_ms / self.without.p99_ms

    @property
    def rate_ratio(self) -> float:
        return self.during.rate / self.without.rate
