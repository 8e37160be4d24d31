"""The figures of mogpoll as lines of the table, with their goals; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from bench.outcome import Outcome, spread
from bench.poller.cycle import FEW, MANY
from bench.poller.memory import Growth
from bench.poller.pingpong import PAIRS, Entry, Score

ADDED_US = 1.5
GROWTH = 1.2
BYTES = 200


def cycle_rows(bare: str, ours_us: Sequence[float], bare_us: Sequence[float]) -> list[Outcome]:
    """Ours on top of the bare calls: by round, since both saw the machine in the same state."""
    added = [one - other for one, other in zip(ours_us, bare_us, strict=True)]
    judged = bare == "select.epoll"
    samples = {"mogpoll_us": ours_us, "bare_us": bare_us}
    return [
        Outcome(
            f"wait and rearm, on top of {bare}",
            f"<= {ADDED_US:g} us" if judged else "",
            spread(added, " us"),
            round(median(added), 2) <= ADDED_US if judged else None,
            samples,
        ),
        Outcome(f"  {bare} alone", "", spread(bare_us, " us"), None, samples),
    ]


def growth_row(
    name: str, ready: int, few_us: Sequence[float], many_us: Sequence[float], *, judged: bool
) -> Outcome:
    grown = [many / few for few, many in zip(few_us, many_us, strict=True)]
    return Outcome(
        f"  {name}, {ready} ready: {FEW} to {MANY} registered",
        f"<= {GROWTH:g} x" if judged else "",
        f"{spread(grown, ' x')}; {median(many_us):.2f} us",
        round(median(grown), 2) <= GROWTH if judged else None,
        {"few_us": few_us, "many_us": many_us},
    )


def memory_rows(backend: str, found: Mapping[int, Growth]) -> list[Outcome]:
    """The worst of the sizes is judged: tables grow in leaps."""
    worst = max(max(each.allocated, each.resident) for each in found.values())
    by_size = ", ".join(f"{each.allocated:.0f} at {count}" for count, each in found.items())
    resident = ", ".join(f"{each.resident:.0f} at {count}" for count, each in found.items())
    samples = {str(count): [each.allocated, each.resident] for count, each in found.items()}
    return [
        Outcome(
            f"memory for each registered descriptor, {backend}",
            f"<= {BYTES} bytes",
            by_size,
            worst <= BYTES,
            samples,
        ),
        Outcome("  as the system sees it (resident)", "", resident, None, samples),
    ]


def pingpong_rows(bare: str, scores: Mapping[Entry, Sequence[Score]]) -> list[Outcome]:
    """Rates, and processor time for an event with its ratio to the bare calls in one thread."""
    base = next(own for entry, own in scores.items() if (entry.name, entry.threads) == (bare, 1))
    rows = []
    for entry, own in scores.items():
        ratios = [one.cpu_us / other.cpu_us for one, other in zip(own, base, strict=True)]
        compared = "base" if own is base else f"{spread(ratios)} x"
        rows.append(
            Outcome(
                f"  {entry.name}, {entry.threads} thread{'s' if entry.threads > 1 else ''}",
                "",
                f"{median(each.rate for each in own):6.0f}/s  "
                f"{median(each.cpu_us for each in own):5.2f} us CPU  {compared}",
                None,
                {"rate": [each.rate for each in own], "cpu_us": [each.cpu_us for each in own]},
            )
        )
    return [Outcome(f"ping-pong over {PAIRS} pairs: events", "", "", None, {}), *rows]
