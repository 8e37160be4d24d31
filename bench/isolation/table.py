"""The text of the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median

from bench.goals import GOALS
from bench.isolation.figures import Pair, Run, middle
from bench.isolation.parts import HUNDRED, HUNG, SLOW, STUCK_REQUESTS, Samples
from bench.outcome import Outcome, beside

_NODE = "mogstored"
_GOAL = GOALS["hung"]
_ROW = "{:<32} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {:<20} {}"

_TITLES = {
    HUNG: f"One of 10 devices hangs in open, with {STUCK_REQUESTS} requests on it;"
    " 16 connections ask for 1 KiB files on the other 9",
    SLOW: "One of 8 devices takes 10 to 30 ms for each open and read, one at a time; 256 clients,"
    " of which 224 ask for 1 KiB files on the other 7",
    HUNDRED: f"One of 100 devices hangs in open, with {STUCK_REQUESTS} requests on it;"
    " 16 connections ask for 1 KiB files on the other 99",
}


def table(part: str, samples: Samples) -> str:
    lines = [_TITLES[part]]
    heads = ("p50 ms", "p99 ms", "max ms")
    lines.append(_ROW.format("", "without:", "with:", "without:", "", "", "with:", "", "", "", ""))
    lines.append(_ROW.format("server", "req/s", "req/s", *heads, *heads, "p99 with/without", ""))
    lines += [_row(part, name, pairs) for name, pairs in samples.items()]
    return "\n".join(line.rstrip() for line in lines)


def _row(part: str, name: str, pairs: Sequence[Pair]) -> str:
    ratio = middle([pair.p99_ratio for pair in pairs])
    return _ROW.format(
        name,
        f"{median(pair.without.rate for pair in pairs):.0f}",
        f"{median(pair.during.rate for pair in pairs):.0f}",
        *_latencies([pair.without for pair in pairs]),
        *_latencies([pair.during for pair in pairs]),
        _range(ratio, pairs),
        _verdict(part, name, ratio),
    )


def _latencies(runs: Sequence[Run]) -> list[str]:
    figures: list[Callable[[Run], float | None]] = [
        lambda run: run.p50_ms,
        lambda run: run.p99_ms,
        lambda run: run.max_ms,
    ]
    return [_ms(middle([figure(run) for run in runs])) for figure in figures]


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _range(ratio: float | None, pairs: Sequence[Pair]) -> str:
    if ratio is None:
        return "not served"
    known = [pair.p99_ratio for pair in pairs if pair.p99_ratio is not None]
    return f"{ratio:.2f} ({min(known):.2f}-{max(known):.2f})"


def _verdict(part: str, name: str, ratio: float | None) -> str:
    if part != HUNDRED or not name.startswith(_NODE):
        return ""
    return f"goal <= {_GOAL.limit:g}: {'met' if _is_met(ratio) else 'MISSED'}"


def _is_met(ratio: float | None) -> bool:
    return ratio is not None and _GOAL.is_met(ratio)


def outcomes(samples: Samples) -> list[Outcome]:
    """What `HUNDRED` found, as lines among other budgets."""
    lines = []
    for name, pairs in samples.items():
        ratio = middle([pair.p99_ratio for pair in pairs])
        rate = median(pair.rate_ratio for pair in pairs)
        what = f"1 of 100 devices hangs with {STUCK_REQUESTS} requests: {name}"
        figure = f"{_range(ratio, pairs)} on the other 99"
        own = {"pairs": [asdict(pair) for pair in pairs]}
        lines.append(Outcome(what, str(_GOAL), figure, _is_met(ratio), own))
        lines.append(beside("requests/s with the hang beside without", f"{rate:.2f}"))
    return lines
