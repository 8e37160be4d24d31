"""What seeing the node costs a request: counters, an admin listener and an access log, or none.

Both nodes are the same code, which always counts. The processor time is that of all processes of
a node, with the thread that writes the access log and the admin process, which looks once a
second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.base.goals import CPU, Goal
from bench.base.outcome import Outcome
from bench.environment import Environment
from bench.requests.beside import CONNECTIONS, compare
from bench.servers.peers import free_port
from bench.servers.workloads import WORKLOADS

GOALS = {"get-1k": Goal(CPU, 1.03), "put-1k": Goal(CPU, 1.08)}


def observed(name: str, *, logs: bool = True) -> Callable[[Environment], Iterator[Outcome]]:
    """What sets an observed node beside one that is not; `logs` says whether it logs requests."""

    def measure(environment: Environment) -> Iterator[Outcome]:
        options = ["--adminlisten", f"127.0.0.1:{free_port()}"]
        if logs:
            options += ["--access-log", str(environment.workdir / "access.log")]
        peers = [
            environment.peers.node("observed", *options, mgmt=True),
            environment.peers.node("unobserved", mgmt=True),
        ]
        return compare(environment, GOALS[name], peers, WORKLOADS[name], [CONNECTIONS])

    return measure
