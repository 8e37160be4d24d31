"""What short requests suffer from long ones, with one queue and with many.

The load: a part of the threads' time goes into long requests, which block; short ones come in
between. Which connection carries which kind is drawn at random, the same for all layouts, since
no kernel knows when it spreads connections. The connections of a round are new, so SO_REUSEPORT
spreads them anew; the servers stay.
"""

from __future__ import annotations

import random
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.balance import offered
from bench.balance.arrivals import Shares, shares_of, taker
from bench.balance.offered import Client, Offer, schedule
from bench.balance.server import LONG, LONG_S, SHORT
from bench.balance.ways import Layout, serving
from bench.base.figures import percentile
from bench.environment import Environment

# Of the threads' time.
LOAD = 0.4
# For each serving thread.
_LONG_CLIENTS, _SHORT_CLIENTS = 8, 12
_SHORT_PER_SECOND = 50
_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Round:
    """What the clients of one round saw."""

    short_s: list[float]
    long_s: list[float]
    long_clients: Shares
    """How the connections with long requests were spread over the processes."""


def offers(threads: int) -> dict[bytes, Offer]:
    return {
        SHORT: Offer(_SHORT_CLIENTS * threads, _SHORT_PER_SECOND * threads),
        LONG: Offer(_LONG_CLIENTS * threads, LOAD * threads / LONG_S),
    }


def measure(layouts: Sequence[Layout], environment: Environment) -> dict[str, list[Round]]:
    """Let the layouts take turns under the same load; the rounds by the layout's text."""
    with ExitStack() as stack:
        return environment.take_turns(
            {str(each): _variant(each, stack.enter_context(serving(each))[0]) for each in layouts},
            warm_up=False,
        )


def _variant(layout: Layout, address: tuple[str, int]) -> Callable[[float], Round]:
    """One round with each call; the loads of a round are the same for every layout."""
    seeds = iter(range(1, 1 << 30))
    return lambda seconds: _round(layout, address, seconds, next(seeds))


def _round(layout: Layout, address: tuple[str, int], seconds: float, seed: int) -> Round:
    offered_kinds = offers(layout.processes * layout.threads)
    plans = {kind: iter(schedule(each, seconds, seed)) for kind, each in offered_kinds.items()}
    kinds = [kind for kind, each in offered_kinds.items() for _ in range(each.clients)]
    random.Random(seed).shuffle(kinds)
    with ExitStack() as stack:
        connections, takers = [], []
        for _ in kinds:
            # One after the other, each greeted before the next: the even case of each way.
            connection = stack.enter_context(socket.create_connection(address, _LIMIT_S))
            takers.append(taker(connection))
            connection.setblocking(False)
            connections.append(connection)
        begins = time.monotonic()
        clients = [
            Client(connection, kind, deque(begins + due for due in next(plans[kind])))
            for connection, kind in zip(connections, kinds, strict=True)
        ]
        offered.run(clients)
    of_long = [number for number, kind in zip(takers, kinds, strict=True) if kind == LONG]
    short_s, long_s = (
        [value for each in clients if each.kind == kind for value in each.latencies_s]
        for kind in (SHORT, LONG)
    )
    return Round(short_s, long_s, shares_of(of_long, layout.processes))


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


def milliseconds(rounds_s: Sequence[Sequence[float]]) -> Milliseconds:
    """A stall of the machine is in one round, and so in no median."""
    longest = [max(values) * 1e3 for values in rounds_s]
    p50, p99 = (
        median(percentile(values, part) for values in rounds_s) * 1e3 for part in (0.5, 0.99)
    )
    return Milliseconds(p50, p99, median(longest), min(longest), max(longest))
