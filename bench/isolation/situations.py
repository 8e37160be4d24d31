"""Devices of which the last one is a bad disk, and loads on the others without and with it.

All servers share the devices: each docroot has links to them, and one server runs at a time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.bad_disk.control import SlowDisk, mounted
from bench.base.figures import Sample
from bench.environment import Environment, alternating
from bench.load.large_get_client import request
from bench.load.wrk import LoadError
from bench.servers.peers import CMOGSTORED, NGINX, NODE, Peer
from bench.servers.workloads import KIB, Workload, write_files

STUCK_REQUESTS = 200
_SEEK_S = (0.010, 0.030)
_FILES = 20
# More than any server keeps open, so that a slow disk is not spared.
_BAD_FILES = 2000
_CONNECTIONS, _CLIENTS = 16, 256
# Of the usual length: a server that answers in turn with a slow disk takes seconds for a request.
_SLOW_RUNS = 2
_WARM_UP_S = 1
# Until all requests to the bad disk have arrived, and other clients have been let past them.
_SETTLE_S = 0.5
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load without a bad disk (the mean of before and after) and with it."""

    without: Sample
    during: Sample

    @property
    def p99_ratio(self) -> float:
        """Infinite when nothing is answered beside the bad disk."""
        return self.during.p99_s / self.without.p99_s


def both(one: Sample, other: Sample) -> Sample:
    """The mean of two runs: the machine changes meanwhile."""
    return Sample(
        one.requests + other.requests,
        one.duration_s + other.duration_s,
        (one.p99_s + other.p99_s) / 2,
        one.cpu_s + other.cpu_s,
        (one.p50_s + other.p50_s) / 2,
        (one.max_s + other.max_s) / 2,
    )


def measure(
    environment: Environment, count: int, *, slow: bool, beside_others: bool
) -> dict[str, list[Pair]]:
    """The pairs of every server, where one of `count` devices hangs or is slow.

    Raises: CannotMount.
    """
    home = environment.workdir / "devices"
    home.mkdir()
    good = Workload("good", "GET", KIB, 1, _FILES, devices=(1, count - 1))
    bad = Workload("bad", "GET", KIB, 1, _BAD_FILES, devices=(count, count))
    with mounted(home / f"dev{count}") as disk:
        write_files(home, good, bad)
        run = _Run(environment, disk, good, bad)
        peers = _servers(environment, home, beside_others=beside_others)
        found: dict[str, list[Pair]] = {peer.name: [] for peer in peers}
        for number, order in enumerate(alternating(peers, environment.rounds), 1):
            for peer in order:
                environment.progress(f"round {number} of {environment.rounds}, {peer.name}")
                with peer:
                    try:
                        pair = run.beside_slow(peer) if slow else run.beside_hung(peer)
                    finally:
                        disk.release()  # the server could not stop
                found[peer.name].append(pair)
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    environment: Environment
    disk: SlowDisk
    good: Workload
    bad: Workload

    def beside_hung(self, peer: Peer) -> Pair:
        """Load the others while `STUCK_REQUESTS` wait for one that hangs, before and after it."""
        self._load(peer, _CONNECTIONS, _WARM_UP_S)
        before = self._load(peer, _CONNECTIONS, self.environment.seconds)
        self.disk.hang("open")
        with self._stuck(peer):
            during = self._load(peer, _CONNECTIONS, self.environment.seconds)
        return Pair(both(before, self._load(peer, _CONNECTIONS, self.environment.seconds)), during)

    def beside_slow(self, peer: Peer) -> Pair:
        """Load the others while a slow one has its share of the clients, before and after it."""
        first, last = self.good.devices
        share = _CLIENTS // (last - first + 2)
        clients, seconds = _CLIENTS - share, _SLOW_RUNS * self.environment.seconds
        self._load(peer, clients, _WARM_UP_S)
        before = self._load(peer, clients, seconds)
        self.disk.seek(*_SEEK_S, "open", "read")
        with self.environment.wrk.running(peer, self.bad, share, seconds + 2):
            time.sleep(_SETTLE_S)
            during = self._load(peer, clients, seconds)
            self.disk.release()
        return Pair(both(before, self._load(peer, clients, seconds)), during)

    def _load(self, peer: Peer, clients: int, seconds: float) -> Sample:
        return self.environment.wrk.run(peer, self.good, clients, seconds, may_hang=True)

    @contextmanager
    def _stuck(self, peer: Peer) -> Iterator[None]:
        """Send requests for the bad disk; release it in the end, and see them answered."""
        asked = request(self.bad.path(0, self.bad.devices[0]))
        with ExitStack() as stack:
            clients = []
            for _ in range(STUCK_REQUESTS):
                client = socket.create_connection(("127.0.0.1", peer.port), _ANSWER_S)
                clients.append(stack.enter_context(client))
                client.sendall(asked)
            self.disk.wait_until_held(1)
            time.sleep(_SETTLE_S)
            yield
            self.disk.release()
            if not all(client.recv(1) == b"H" for client in clients):
                raise LoadError("a request was lost that waited for a disk which is back now")


def _servers(environment: Environment, home: Path, *, beside_others: bool) -> list[Peer]:
    """The node, and what it is compared with, each with one process and with two."""
    peers, cmogstored = environment.peers, environment.cmogstored
    counts = {"1 process": (1, []), "2 processes": (2, ["--worker-processes=2"])}
    made = [
        peers.node(f"{NODE}, {name}", *option, devices=home)
        for name, (_, option) in counts.items()
    ]
    if beside_others:
        for end in ("", ", aio threads") if "--with-threads" in peers.nginx_build else ("",):
            made += [
                peers.nginx(f"{NGINX}, {name}{end}", workers=count, aio=bool(end), devices=home)
                for name, (count, _) in counts.items()
            ]
    if beside_others and cmogstored is not None:
        made += [
            peers.cmogstored(cmogstored, f"{CMOGSTORED}, {name}", *option, devices=home)
            for name, (_, option) in counts.items()
        ]
    return made
