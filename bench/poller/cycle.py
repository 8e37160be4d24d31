"""What taking an event and arming again costs: on top of the kernel, and with many registered.

Processor time of the one thread, so that other processes are in it as little as possible. The
descriptors have a byte to read all the time, so no call ever sleeps.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bench.environment import alternating
from bench.poller.contenders import OneShot, bare, mogpoll

FEW, MANY = 10, 10_000
_WARM_UP = 1000


def compare(rounds: int, count: int) -> tuple[list[float], list[float]]:
    """Microseconds for a cycle of mogpoll and of the bare calls, by round."""
    with _armed(mogpoll, 1, 1) as ours, _armed(bare, 1, 1) as theirs:
        return _alternate(ours, theirs, rounds, count)


def growth(
    make: Callable[[], OneShot], rounds: int, count: int, ready: int
) -> tuple[list[float], list[float]]:
    """Microseconds for a cycle with FEW registered and with MANY, by round.

    Of the MANY, `ready` take turns, and the rest has nothing to read.
    """
    with _armed(make, FEW, FEW) as small, _armed(make, ready, MANY) as large:
        return _alternate(small, large, rounds, count)


@contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Give `count` pairs of non-blocking sockets."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            pair = socket.socketpair()
            for each in pair:
                stack.enter_context(each).setblocking(False)
            made.append(pair)
        yield made


@contextmanager
def readable(ready: int, registered: int) -> Iterator[tuple[list[int], list[int]]]:
    """Give `ready` descriptors with a byte to read, and the rest of `registered` without."""
    with pairs((ready + 1) // 2) as full, pairs((registered - ready + 1) // 2) as empty:
        for one, other in full:
            one.send(b"x")
            other.send(b"x")
        ours, theirs = (
            [each.fileno() for pair in made for each in pair] for made in (full, empty)
        )
        yield ours[:ready], theirs[: registered - ready]


@contextmanager
def _armed(make: Callable[[], OneShot], ready: int, registered: int) -> Iterator[OneShot]:
    with readable(ready, registered) as (full, empty):
        contender = make()
        try:
            contender.add([*full, *empty])
            contender.cycle_s(max(_WARM_UP, ready))
            yield contender
        finally:
            contender.close()


def _alternate(
    first: OneShot, second: OneShot, rounds: int, count: int
) -> tuple[list[float], list[float]]:
    found: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    for order in alternating([(first, found[0]), (second, found[1])], rounds):
        for each, own in order:
            own.append(each.cycle_s(count) / count * 1e6)
    return found
