"""The figures of mogpoll as lines of the table, with their goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from bench.base.figures import spread
from bench.base.goals import Goal
from bench.base.machine import require_files
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.poller import cycle, deadlines, memory, pingpong
from bench.poller.contenders import backend, bare, bare_name, mogpoll
from bench.poller.cycle import FEW, MANY
from bench.poller.memory import Growth
from bench.poller.pingpong import PAIRS, Entry, Score

_ADDED = Goal("added", 1.5, unit=" us")
_DEADLINE = Goal("added", 5, unit=" us")
_GROWN = Goal("growth", 1.2, unit=" x")
_BYTES = Goal("worst", 200, unit=" bytes")
_MANY_THREADS = 8
# A round number, and just before and after the tables of Python double.
_SIZES = (10_000, 10_900, 10_950)


def cycles(environment: Environment) -> Iterator[Outcome]:
    compared = cycle.compare(environment.rounds, environment.scale.cycles)
    yield from cycle_lines(bare_name(), *compared)


def cycle_lines(
    name: str, ours_us: Sequence[float], bare_us: Sequence[float]
) -> Iterator[Outcome]:
    """Ours on top of the bare calls: by round, since both saw the machine in the same state."""
    added = [one - other for one, other in zip(ours_us, bare_us, strict=True)]
    what, samples = (
        f"wait and rearm, on top of {name}",
        {"mogpoll_us": ours_us, "bare_us": bare_us},
    )
    if name == "select.epoll":
        yield judged(what, _ADDED, added, samples, " us")
    else:
        yield Outcome(what, spread(added, " us"), samples=samples)
    yield beside(f"{name} alone", spread(bare_us, " us"))


def growth(environment: Environment) -> Iterator[Outcome]:
    require_files(MANY + FEW)
    yield Outcome("an event, with more registered descriptors")
    for ready in (FEW, MANY):
        for make, name in ((mogpoll, "mogpoll"), (bare, bare_name())):
            found = cycle.growth(make, environment.rounds, environment.scale.cycles, ready)
            goal = _GROWN if make is mogpoll and ready == FEW else None
            yield growth_line(name, ready, *found, goal)


def growth_line(
    name: str, ready: int, few_us: Sequence[float], many_us: Sequence[float], goal: Goal | None
) -> Outcome:
    grown = [many / few for few, many in zip(few_us, many_us, strict=True)]
    what = f"{name}, {ready} ready: {FEW} to {MANY} registered"
    note, samples = f" x; {median(many_us):.2f} us", {"few_us": few_us, "many_us": many_us}
    if goal is None:
        return beside(what, f"{spread(grown)}{note}", samples)
    return judged(f"  {what}", goal, grown, samples, note)


def memories(_: Environment) -> Iterator[Outcome]:
    yield from memory_lines(backend(), {count: memory.measure(count) for count in _SIZES})


def memory_lines(name: str, found: Mapping[int, Growth]) -> Iterator[Outcome]:
    """The worst of the sizes is judged: tables grow in leaps."""
    worst = max(max(each.allocated, each.resident) for each in found.values())
    by_size = ", ".join(f"{each.allocated:.0f} at {count}" for count, each in found.items())
    resident = ", ".join(f"{each.resident:.0f} at {count}" for count, each in found.items())
    what, samples = (
        f"memory for each registered descriptor, {name}",
        {"growth": list(found.items())},
    )
    yield Outcome(what, by_size, str(_BYTES), _BYTES.is_met(worst), samples)
    yield beside("as the system sees it (resident)", resident)


def deadline_costs(environment: Environment) -> Iterator[Outcome]:
    require_files(MANY + 4 * FEW)
    count = environment.scale.cycles
    compared = deadlines.compare(environment.rounds, count)
    timers = [deadlines.asyncio_us(count) for _ in range(environment.rounds)]
    yield from deadline_lines(*compared, timers, deadlines.passing_us())


def deadline_lines(
    limited_us: Sequence[float],
    free_us: Sequence[float],
    asyncio_us: Sequence[float],
    passing_us: float,
) -> Iterator[Outcome]:
    added = deadlines.added(limited_us, free_us)
    samples = {"limited_us": limited_us, "free_us": free_us}
    yield judged(
        f"a deadline set in each step, among {MANY} tasks", _DEADLINE, added, samples, " us"
    )
    yield beside("the step without one", spread(free_us, " us"))
    yield beside(
        f"asyncio: a timer cancelled and one begun, among {MANY}", spread(asyncio_us, " us")
    )
    yield Outcome("a deadline that passes, with its step", f"{passing_us:.2f} us")


def pingpongs(environment: Environment) -> Iterator[Outcome]:
    require_files(2 * PAIRS)
    entries = {str(entry): entry for entry in pingpong.entries(_MANY_THREADS)}
    # A round is short: the threads pass the interpreter lock on with every event.
    seconds = environment.seconds * 0.3
    scores = environment.take_turns(
        {name: _playing(entry, seconds) for name, entry in entries.items()}, warm_up=False
    )
    yield from pingpong_lines(scores, str(Entry(bare, bare_name(), 1)))


def _playing(entry: Entry, seconds: float) -> pingpong.Playing:
    return lambda _: pingpong.play(entry, seconds)


def pingpong_lines(scores: Mapping[str, Sequence[Score]], base: str) -> Iterator[Outcome]:
    """Rates, and processor time for an event with its ratio to the bare calls in one thread."""
    yield Outcome(f"ping-pong over {PAIRS} pairs: events")
    for name, own in scores.items():
        ratios = [one.cpu_us / other.cpu_us for one, other in zip(own, scores[base], strict=True)]
        compared = "base" if name == base else f"{spread(ratios)} x"
        rate, cpu = median(each.rate for each in own), median(each.cpu_us for each in own)
        yield beside(name, f"{rate:6.0f}/s  {cpu:5.2f} us CPU  {compared}", {"scores": own})
