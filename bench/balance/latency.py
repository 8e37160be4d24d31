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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.balance import offered, ways
from bench.balance.layouts import Layout
from bench.balance.offered import Client, Offer, schedule
from bench.balance.server import LONG, SHORT
from bench.balance.shares import Shares, shares_of
from bench.life.child import Child
from bench.peers import PeerFailed
from bench.rounds import alternating

# As long as a seek of a disk, or a few.
LONG_S = 0.02
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


def measure(
    layouts: Sequence[Layout], rounds: int, seconds: float, progress: Callable[[str], None]
) -> dict[Layout, list[Round]]:
    """Let the layouts take turns under the same load."""
    found: dict[Layout, list[Round]] = {layout: [] for layout in layouts}
    with ExitStack() as stack:
        served = {layout: stack.enter_context(_served(layout)) for layout in layouts}
        for number, order in enumerate(alternating(layouts, rounds), 1):
            for layout in order:
                progress(f"latency: round {number} of {rounds}, {layout}")
                found[layout].append(_round(layout, served[layout], seconds, number))
    return found


@contextmanager
def _served(layout: Layout) -> Iterator[tuple[str, int]]:
    """Run the servers, and give their address."""
    with ExitStack() as stack:
        listeners = stack.enter_context(ways.listeners(layout.way, layout.processes))
        children = []
        for number, listener in enumerate(listeners):
            fd = listener.fileno()
            arguments = (fd, number, layout.threads, LONG_S)
            child = Child("bench.balance.server", *arguments, pass_fds=[fd])
            children.append(stack.enter_context(child))
        for child in children:
            child.ask("are you there?")
        yield listeners[0].getsockname()


def _round(layout: Layout, address: tuple[str, int], seconds: float, seed: int) -> Round:
    offered_kinds = offers(layout.processes * layout.threads)
    plans = {kind: schedule(offer, seconds, seed) for kind, offer in offered_kinds.items()}
    kinds = [kind for kind, offer in offered_kinds.items() for _ in range(offer.clients)]
    random.Random(seed).shuffle(kinds)
    with ExitStack() as stack:
        connections, takers = [], []
        for _ in kinds:
            # One after the other, each greeted before the next: the even case of each way.
            connections.append(stack.enter_context(_connect(address)))
            takers.append(_taker(connections[-1]))
        clients = _clients(connections, kinds, plans)
        offered.run(clients)
    of_long = [taker for taker, kind in zip(takers, kinds, strict=True) if kind == LONG]
    return Round(
        _latencies(clients, SHORT),
        _latencies(clients, LONG),
        shares_of(of_long, layout.processes),
    )


def _latencies(clients: Sequence[Client], kind: bytes) -> list[float]:
    return [value for each in clients if each.kind == kind for value in each.latencies_s]


def _clients(
    connections: Sequence[socket.socket],
    kinds: Sequence[bytes],
    plans: Mapping[bytes, list[list[float]]],
) -> list[Client]:
    begins = time.monotonic()
    unused = {kind: iter(planned) for kind, planned in plans.items()}
    return [
        Client(connection, kind, deque(begins + due for due in next(unused[kind])))
        for connection, kind in zip(connections, kinds, strict=True)
    ]


def _connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, _LIMIT_S)


def _taker(connection: socket.socket) -> int:
    """Return the number of the process that took it."""
    greeting = connection.recv(1)
    if not greeting:
        raise PeerFailed("a connection was closed instead of greeted")
    connection.setblocking(False)
    return greeting[0]
