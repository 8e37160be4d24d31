"""The arithmetic: runs to rates, ratios, medians and percentiles; no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One short run of one server; latencies are infinite when nothing was answered."""

    requests: int
    duration_s: float
    p99_s: float
    cpu_s: float = 0.0
    """User and system time of all processes of the server."""
    p50_s: float = math.inf
    max_s: float = math.inf


def sample_of(delays_s: Sequence[float], duration_s: float, cpu_s: float) -> Sample:
    """Make a sample of requests that took so long each; there was at least one."""
    return Sample(
        requests=len(delays_s),
        duration_s=duration_s,
        p99_s=percentile(delays_s, 0.99),
        cpu_s=cpu_s,
        p50_s=percentile(delays_s, 0.5),
        max_s=max(delays_s),
    )


def rate(sample: Sample) -> float:
    """Requests a second."""
    return sample.requests / sample.duration_s


def cpu_us(sample: Sample) -> float:
    """Processor time of the server for one request, in microseconds."""
    return sample.cpu_s * 1e6 / sample.requests


def p99_s(sample: Sample) -> float:
    return sample.p99_s


def by_round(
    ours: Sequence[Sample], base: Sequence[Sample], figure: Callable[[Sample], float]
) -> list[float]:
    """Divide round by round: both runs of a pair saw the machine in nearly the same state."""
    return [figure(one) / figure(other) for one, other in zip(ours, base, strict=True)]


def best_of(peers: Sequence[Sequence[Sample]]) -> list[Sample]:
    """The fastest sample of each round."""
    return [max(of_round, key=rate) for of_round in zip(*peers, strict=True)]


def middle(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    return median(map(figure, samples))


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of all values does not exceed."""
    return sorted(values)[math.ceil(len(values) * part) - 1] if values else 0.0


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median, lowest and highest, as every table shows them."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f}){unit}"
