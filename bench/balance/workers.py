"""How a node's own worker processes share connections that arrive slowly and stay.

Each connection has a request answered before the next one comes, so it has been taken; then the
system says which process has how many.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.balance.arrivals import PAUSE_S, Shares
from bench.base.goals import GOALS
from bench.base.machine import require_files
from bench.base.outcome import Outcome
from bench.environment import Environment
from bench.load import idle_load
from bench.servers.peers import PeerFailed
from bench.servers.processes import client_ports, tree

_PROCESSES = 4


def measure(environment: Environment) -> Iterator[Outcome]:
    found, goal = share(environment, environment.scale.arrivals), GOALS["balance"]
    what = f"{found.total} slow persistent connections to {_PROCESSES} workers"
    is_met = goal.is_met(found.unevenness)
    yield Outcome(what, str(found), str(goal), is_met, {"counts": found.counts})


def share(environment: Environment, connections: int, processes: int = _PROCESSES) -> Shares:
    """Raises: PeerFailed when a connection is not found with any worker."""
    require_files(connections)
    arguments = ["--worker-processes", str(processes), "--maxconns", str(2 * connections)]
    peer = environment.peers.node("mogstored workers", *arguments)
    with peer, idle_load.held(peer, connections, PAUSE_S):
        workers = [each for each in tree(peer.pid) if each.ppid() == peer.pid]
        counts = [len(client_ports(worker)) for worker in workers]
    if len(counts) != processes or sum(counts) != connections:
        raise PeerFailed(f"{connections} connections to {processes} workers, found: {counts}")
    return Shares(tuple(counts))
