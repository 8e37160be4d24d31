"""What both experiments found, as lines of the table; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bench.balance.latency import Round
from bench.balance.layouts import Layout
from bench.balance.shares import Shares
from bench.balance.ways import Way
from bench.goals import GOALS
from bench.outcome import Outcome
from bench.sink import percentile

# Below this a connection more or less is no unevenness: largest/mean cannot be judged.
_JUDGED_FROM = 100


@dataclass(frozen=True, slots=True)
class Spread:
    """How one way spread connections over the processes."""

    slow: Shares
    bursts: Shares


def spread_rows(spreads: Mapping[Way, Spread | str]) -> list[Outcome]:
    """Two lines for each way, or one that says why this system does not have it."""
    rows: list[Outcome] = []
    for way, found in spreads.items():
        if isinstance(found, str):
            rows.append(Outcome(way.value, "", f"skipped: {found}", None, {"skipped": found}))
            continue
        rows.append(_slow_row(way, found.slow))
        rows.append(
            Outcome(
                f"  in bursts, {found.bursts.total}",
                "",
                str(found.bursts),
                None,
                {"counts": found.bursts.counts},
            )
        )
    return rows


def _slow_row(way: Way, slow: Shares) -> Outcome:
    judged = way is Way.BLOCKING and slow.total >= _JUDGED_FROM * len(slow.counts)
    return Outcome(
        f"{way.value}: {slow.total}, slowly",
        str(GOALS["balance"]) if judged else "",
        str(slow),
        GOALS["balance"].is_met(slow.unevenness) if judged else None,
        {"counts": slow.counts},
    )


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """Medians over the rounds, and the extremes of the rounds' longest latencies."""

    p50: float
    p99: float
    max: float
    max_lowest: float
    max_highest: float

    def __str__(self) -> str:
        extremes = f"({self.max_lowest:.0f}-{self.max_highest:.0f})"
        return f"p50 {self.p50:.2f}  p99 {self.p99:.1f}  max {self.max:.0f} {extremes}"


def milliseconds(rounds_s: Sequence[list[float]]) -> Milliseconds:
    """A stall of the machine is in one round, and so in no median."""
    longest = [max(values) * 1e3 for values in rounds_s]
    return Milliseconds(
        p50=median(percentile(values, 0.5) for values in rounds_s) * 1e3,
        p99=median(percentile(values, 0.99) for values in rounds_s) * 1e3,
        max=median(longest),
        max_lowest=min(longest),
        max_highest=max(longest),
    )


def latency_rows(latencies: Mapping[Layout, Sequence[Round]]) -> list[Outcome]:
    """A line for the short requests of each layout, and one for the long ones."""
    rows: list[Outcome] = []
    for layout, rounds in latencies.items():
        clients = [each.long_clients.counts for each in rounds]
        for what, values in (
            (f"{layout}, ms", [each.short_s for each in rounds]),
            ("  its long requests", [each.long_s for each in rounds]),
        ):
            found = milliseconds(values)
            samples = {"latencies_s": values, "ms": asdict(found), "long_clients": clients}
            rows.append(Outcome(what, "", str(found), None, samples))
    return rows
