"""The arithmetic: samples of rounds to medians and ratios; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One short run of one peer."""

    requests: int
    duration_s: float
    p99_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.requests / self.duration_s

    @property
    def cpu_us(self) -> float:
        """CPU time of all server processes for one request."""
        return self.cpu_s * 1e6 / self.requests


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median and extremes of the ratios of the rounds."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What the table shows of one peer in one row; ratios are absent for the base itself."""

    rate: float
    cpu_us: float
    p99_s: float
    rate_ratio: Ratio | None
    cpu_ratio: Ratio | None


def summarize(samples: Sequence[Sample], base: Sequence[Sample] | None) -> Summary:
    return Summary(
        rate=median(sample.rate for sample in samples),
        cpu_us=median(sample.cpu_us for sample in samples),
        p99_s=median(sample.p99_s for sample in samples),
        rate_ratio=None if base is None else paired_ratio(samples, base, lambda s: s.rate),
        cpu_ratio=None if base is None else paired_ratio(samples, base, lambda s: s.cpu_us),
    )


def paired_ratio(
    samples: Sequence[Sample], base: Sequence[Sample], figure: Callable[[Sample], float]
) -> Ratio:
    ratios = by_round(samples, base, figure)
    return Ratio(median(ratios), min(ratios), max(ratios))


def by_round(
    samples: Sequence[Sample], base: Sequence[Sample], figure: Callable[[Sample], float]
) -> list[float]:
    """Divide round by round: both runs of a pair saw the machine in nearly the same state."""
    return [figure(one) / figure(other) for one, other in zip(samples, base, strict=True)]


def cpu_us(sample: Sample) -> float:
    return sample.cpu_us


def rate(sample: Sample) -> float:
    return sample.rate
