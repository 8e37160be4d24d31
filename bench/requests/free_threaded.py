"""The node on a Python without the interpreter lock, beside the same node on one with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.base.goals import CPU, RATE, Goal
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome
from bench.environment import Environment
from bench.requests.beside import CONNECTIONS, compare
from bench.servers.tools import Node
from bench.servers.workloads import WORKLOADS

_TOX = Path(__file__).parents[2] / ".tox"
_FREE, _LOCK, _ONE = "no lock", "lock", "no lock, one runs"
# PYTHON_CPU_COUNT: as many workers as os.cpu_count() says run while nothing blocks.
# Source: https://docs.python.org/3/using/cmdline.html#envvar-PYTHON_CPU_COUNT
_ONE_RUNS = {"PYTHON_CPU_COUNT": "1"}

GET_CPU, PUT_CPU = Goal(CPU, 1.3), Goal(CPU, 1.2)
TWO_CORES, LIKE_TWO_PROCESSES = Goal(RATE, 1.5, at_least=True), Goal(RATE, 1.0, at_least=True)


def beside_lock(name: str, goal: Goal) -> Callable[[Environment], Iterator[Outcome]]:
    """What measures a workload on both; the one with the lock is that of `--python`."""

    def measure(environment: Environment) -> Iterator[Outcome]:
        peers = [
            environment.peers.node(_FREE, command=free_node()),
            environment.peers.node(_LOCK),
        ]
        return compare(environment, goal, peers, WORKLOADS[name], [CONNECTIONS])

    return measure


def cores(environment: Environment) -> Iterator[Outcome]:
    """Workers on all cores beside one, in the same process."""
    free = free_node()
    one = Node(free.python, free.environment | _ONE_RUNS)
    peers = [
        environment.peers.node(_FREE, command=free),
        environment.peers.node(_ONE, command=one),
    ]
    return compare(environment, TWO_CORES, peers, WORKLOADS["put-1k"], [CONNECTIONS])


def processes(environment: Environment) -> Iterator[Outcome]:
    """One process without the lock beside two with it."""
    peers = [
        environment.peers.node(_FREE, command=free_node()),
        environment.peers.node(f"{_LOCK}, 2 processes", "--worker-processes", "2"),
    ]
    return compare(environment, LIKE_TWO_PROCESSES, peers, WORKLOADS["get-64k"], [CONNECTIONS])


def free_node() -> Node:
    """The node in tox's environment of a free-threaded Python. Raises: Unmeasurable."""
    found = sorted(_TOX.glob("py3*t/bin/python"))
    if not found:
        raise Unmeasurable("no .tox/py313t or py314t: run `make free-threaded` first")
    return Node(str(found[-1]), {"PYTHON_GIL": "0", "PYTHONPATH": ""})
