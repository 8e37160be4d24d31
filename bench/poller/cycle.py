"""What taking an event and arming again costs: on top of the kernel, and with many registered.

Processor time of the one thread, so that other processes are in it as little as possible. The
descriptors have a byte to read all the time, so no call ever sleeps.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bench.poller.contenders import Mogpoll, Shared, bare
from bench.poller.descriptors import readable
from bench.rounds import alternating

FEW, MANY = 10, 10_000
_WARM_UP = 1000


def compare(rounds: int, count: int) -> tuple[list[float], list[float]]:
    """Return microseconds for a cycle of mogpoll and of the bare calls, by round."""
    with _one_of(Mogpoll, 1, 1) as ours, _one_of(bare, 1, 1) as theirs:
        return _alternate(ours, theirs, rounds, count)


def growth(
    make: Callable[[], Shared], rounds: int, count: int, ready: int
) -> tuple[list[float], list[float]]:
    """Return microseconds for a cycle with FEW registered and with MANY, by round.

    Of the MANY, `ready` take turns, and the rest has nothing to read.
    """
    with _one_of(make, FEW, FEW) as small, _one_of(make, ready, MANY) as large:
        return _alternate(small, large, rounds, count)


@contextmanager
def _one_of(make: Callable[[], Shared], ready: int, registered: int) -> Iterator[Shared]:
    with ExitStack() as stack:
        full, empty = stack.enter_context(readable(ready, registered))
        contender = make()
        stack.callback(contender.close)
        contender.add(full)
        contender.add(empty)
        contender.cycle_s(max(_WARM_UP, ready))
        yield contender


def _alternate(
    first: Shared, second: Shared, rounds: int, count: int
) -> tuple[list[float], list[float]]:
    found: dict[Shared, list[float]] = {first: [], second: []}
    gc.collect()
    for order in alternating([first, second], rounds):
        for each in order:
            found[each].append(each.cycle_s(count) / count * 1e6)
    return found[first], found[second]
