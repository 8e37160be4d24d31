"""Connections that arrive and stay: one at a time or many at once, and who took each."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.load.child import Child
from bench.servers.peers import PeerFailed

# Between two slow arrivals: time enough for the process that was woken to go back to sleep.
PAUSE_S = 0.0005
_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Shares:
    """How many connections each process got."""

    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def unevenness(self) -> float:
        """The largest share, in mean shares: 1 is even, the number of processes is all in one."""
        return max(self.counts) * len(self.counts) / self.total

    def __str__(self) -> str:
        return f"{self.unevenness:.2f}  ({' '.join(map(str, self.counts))})"


def shares_of(takers: Iterable[int], processes: int) -> Shares:
    """Count the takers. Raises: ValueError for none, or for an unknown process."""
    counts = Counter(takers)
    unknown = counts.keys() - range(processes)
    if unknown or not counts:
        raise ValueError(f"connections taken by processes {sorted(counts)} of {processes}")
    return Shares(tuple(counts[number] for number in range(processes)))


def arrive(
    address: tuple[str, int], processes: Sequence[Child], arrivals: Iterable[int]
) -> list[int]:
    """Open so many connections at once each time; return the takers, in that order.

    Every connection stays until all have come. Raises: PeerFailed when one is not taken, or when
    the processes count otherwise.
    """
    with ExitStack() as stack:
        found = [taker for size in arrivals for taker in _burst(stack, address, size)]
        counted = [process.ask("how many?") for process in processes]
    seen = [found.count(number) for number in range(len(counted))]
    if counted != seen:
        raise PeerFailed(f"the processes count {counted}, the clients {seen}")
    return found


def _burst(stack: ExitStack, address: tuple[str, int], size: int) -> list[int]:
    if size == 1:
        time.sleep(PAUSE_S)
    with selectors.DefaultSelector() as selector:
        for _ in range(size):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            refused = client.connect_ex(address)
            if refused not in (0, errno.EINPROGRESS):
                raise OSError(refused, f"cannot connect to {address}")
            selector.register(client, selectors.EVENT_READ)
        found: list[int] = []
        deadline = time.monotonic() + _LIMIT_S
        while len(found) < size:
            if time.monotonic() > deadline:
                raise PeerFailed(f"{size - len(found)} connections are not taken")
            for key, _ in selector.select(deadline - time.monotonic()):
                assert isinstance(key.fileobj, socket.socket)
                found.append(taker(key.fileobj))
                selector.unregister(key.fileobj)
        return found


def taker(client: socket.socket) -> int:
    """The number of the process that took a connection. Raises: PeerFailed."""
    greeting = client.recv(1)
    if not greeting:
        raise PeerFailed("a connection was closed instead of greeted")
    return greeting[0]
