"""What every measurement is given: options, servers, clients, and rounds that take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.base.figures import Sample
from bench.load.wrk import Wrk
from bench.servers.peers import Peer, Peers
from bench.servers.tools import Node
from bench.servers.workloads import GIB, MIB, Workload

WARM_UP_S = 1
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    connections: tuple[int, ...] = (1, 16, 64)
    idle: int = 10_000
    arrivals: int = 4_000
    bursts: int = 20
    devices: int = 500
    large_bytes: int = 10 * GIB
    put_large_bytes: int = GIB
    put_md5_bytes: int = 256 * MIB
    digest_mib: int = 1024
    upgrades: int = 20
    kills: int = 5
    cycles: int = 10_000


FULL = Scale()
# Enough to see that everything works, and no more.
QUICK = Scale(
    (16,), 1_000, 400, 4, 50, 256 * MIB, 64 * MIB, 16 * MIB, 32, upgrades=2, kills=1, cycles=2000
)


@dataclass(frozen=True, slots=True)
class Environment:
    """`workdir` is a directory for this part alone."""

    workdir: Path
    peers: Peers
    wrk: Wrk
    rounds: int
    seconds: float
    scale: Scale = FULL
    connections: tuple[int, ...] = (16,)
    """Of the small workloads."""
    before: Node | None = None
    calibrate: bool = False
    cmogstored: str | None = None
    progress: Callable[[str], None] = lambda _: None

    def take_turns(
        self, variants: Mapping[str, Callable[[float], _T]], *, warm_up: bool = True
    ) -> dict[str, list[_T]]:
        """Run all variants for so many seconds in every round; return the results by name.

        After a warm-up of a second each, every other round is in reversed order.
        """
        for name, run in variants.items() if warm_up else ():
            self.progress(f"warm-up of {name}")
            run(WARM_UP_S)
        found: dict[str, list[_T]] = {name: [] for name in variants}
        for number, order in enumerate(alternating(list(variants), self.rounds), 1):
            for name in order:
                self.progress(f"round {number} of {self.rounds}, {name}")
                found[name].append(variants[name](self.seconds))
        return found

    def measure(
        self, work: Workload, connections: int, peers: Sequence[Peer]
    ) -> dict[str, list[Sample]]:
        """Let running servers take turns under the same load, after a look at their answers."""
        for peer in peers:
            peer.check(work)
        return self.take_turns(
            {peer.name: self.loading(peer, work, connections) for peer in peers}
        )

    def loading(self, peer: Peer, work: Workload, connections: int) -> Callable[[float], Sample]:
        return lambda seconds: self.wrk.run(peer, work, connections, seconds)


def alternating(items: Sequence[_T], rounds: int) -> Iterator[list[_T]]:
    """The order of each round: every other one is reversed, so that none is always first."""
    for number in range(rounds):
        yield list(reversed(items)) if number % 2 else list(items)
