"""The three situations: one disk hangs, one is slow, one of a hundred hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.isolation.clients import Load, await_answers, waiting_clients
from bench.isolation.figures import Pair, both
from bench.isolation.place import BAD_FILES, Devices, Maker, make_devices, running
from bench.peers import Peer
from bench.rounds import alternating

HUNG, SLOW, HUNDRED = "hung", "slow", "hundred"
PARTS = (HUNG, SLOW, HUNDRED)

STUCK_REQUESTS = 200
SEEK_S = (0.010, 0.030)
_FEW_DEVICES, _SLOW_DEVICES, _MANY_DEVICES = 10, 8, 100
_CONNECTIONS = 16
_CLIENTS = 256
# Of the usual length: who serves one request in turn with a slow disk takes seconds for it.
_SLOW_RUNS = 2
_WARM_UP_S = 1
# Until all requests to the bad disk have arrived, and those who can have given way to others.
_SETTLE_S = 0.5

Samples = dict[str, list[Pair]]


@dataclass(frozen=True, slots=True)
class Measuring:
    """How it is measured."""

    maker: Maker
    wrk: str
    rounds: int
    seconds: int
    progress: Callable[[str], None]

    def run(self, part: str, place: Path) -> Samples:
        """Measure one situation with everybody who takes part in it."""
        count = {HUNG: _FEW_DEVICES, SLOW: _SLOW_DEVICES, HUNDRED: _MANY_DEVICES}[part]
        measure = self._beside_slow if part == SLOW else self._beside_hung
        with make_devices(place / part, count) as devices:
            peers = self.maker.nodes(devices)
            if part != HUNDRED:
                peers += self.maker.others(devices)
            samples: Samples = {peer.name: [] for peer in peers}
            for number, order in enumerate(alternating(peers, self.rounds), 1):
                for peer in order:
                    self.progress(f"{part}: round {number} of {self.rounds}, {peer.name}")
                    with running(peer, devices.bad):
                        samples[peer.name].append(measure(peer, devices))
        self.progress("")
        return samples

    def _beside_hung(self, peer: Peer, devices: Devices) -> Pair:
        """Ask the others while `STUCK_REQUESTS` wait for one that hangs, before and after it."""
        load = Load(self.wrk, _CONNECTIONS, 1, devices.count - 1)
        load.run(peer, _WARM_UP_S)
        before = load.run(peer, self.seconds)
        devices.bad.hang("open")
        with waiting_clients(peer, devices.bad_path, STUCK_REQUESTS) as clients:
            devices.bad.wait_until_held(1)
            time.sleep(_SETTLE_S)
            during = load.run(peer, self.seconds)
            devices.bad.release()
            await_answers(clients)
        return Pair(both(before, load.run(peer, self.seconds)), during)

    def _beside_slow(self, peer: Peer, devices: Devices) -> Pair:
        """Ask the others while a slow one has its share of the clients, before and after it."""
        share = _CLIENTS // devices.count
        load = Load(self.wrk, _CLIENTS - share, 1, devices.count - 1)
        slow = Load(self.wrk, share, devices.count, devices.count, BAD_FILES)
        load.run(peer, _WARM_UP_S)
        seconds = _SLOW_RUNS * self.seconds
        before = load.run(peer, seconds)
        devices.bad.seek(*SEEK_S, "open", "read")
        with slow.running(peer, seconds + 2):
            time.sleep(_SETTLE_S)
            during = load.run(peer, seconds)
            devices.bad.release()
        return Pair(both(before, load.run(peer, seconds)), during)
