"""A load that is offered whatever the server does: when each client asks, and its latencies.

Each client has one persistent connection, asks one kind of request only, and at times that are
fixed beforehand; so a short request never waits behind a long one of its own connection. A
client whose last answer is late asks as soon as it comes, and the new request counts from the
time at which it was due: no server looks better for keeping its clients from asking. A request
that is late because this program is counts from when it was sent.
"""

from __future__ import annotations

import heapq
import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.servers.peers import PeerFailed

_ANSWER_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Offer:
    """So many clients of one kind that ask so often, all together, at random times."""

    clients: int
    per_second: float


def schedule(offer: Offer, seconds: float, seed: int) -> list[list[float]]:
    """When each client asks, in seconds from the start: independent clients (Poisson)."""
    source = random.Random(seed)
    client_rate = offer.per_second / offer.clients
    planned: list[list[float]] = []
    for _ in range(offer.clients):
        times: list[float] = []
        while (due := (times[-1] if times else 0.0) + source.expovariate(client_rate)) < seconds:
            times.append(due)
        planned.append(times)
    return planned


@dataclass(slots=True)
class Client:
    """One connection; `dues` are points in time, the earliest first."""

    connection: socket.socket
    kind: bytes
    dues: deque[float]
    latencies_s: list[float] = field(default_factory=list)
    # When the request under way counts from, and when the last answer came.
    _since: float = 0.0
    _free_at: float = 0.0

    def ask(self, now: float) -> None:
        due = self.dues.popleft()
        self._since = due if due < self._free_at else now
        self.connection.send(self.kind)

    def take_answer(self) -> None:
        answer = self.connection.recv(2)
        if answer != self.kind:
            raise PeerFailed(f"a request {self.kind!r} is answered with {answer!r}")
        self._free_at = time.monotonic()
        self.latencies_s.append(self._free_at - self._since)


def run(clients: Sequence[Client]) -> None:
    """Ask until every request is answered. Raises: PeerFailed if the answers stop coming."""
    # Clients that may ask, by when they will; the others wait for an answer or are done.
    free = [(client.dues[0], number) for number, client in enumerate(clients) if client.dues]
    heapq.heapify(free)
    outstanding = 0
    with selectors.DefaultSelector() as selector:
        for number, client in enumerate(clients):
            selector.register(client.connection, selectors.EVENT_READ, number)
        while free or outstanding:
            now = time.monotonic()
            while free and free[0][0] <= now:
                clients[heapq.heappop(free)[1]].ask(now)
                outstanding += 1
            ready = selector.select(free[0][0] - now if free else _ANSWER_LIMIT_S)
            if not (ready or free):
                raise PeerFailed(f"{outstanding} requests have no answer")
            for key, _ in ready:
                client = clients[key.data]
                client.take_answer()
                outstanding -= 1
                if client.dues:
                    heapq.heappush(free, (client.dues[0], key.data))
