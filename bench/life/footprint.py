"""The memory of a node before it has clients: of one process, and of each further worker.

PSS of all its processes, launcher and master among them: a page that several share counts once.
Read when it has stopped changing.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.base.goals import GOALS
from bench.base.outcome import Outcome, beside
from bench.environment import Environment
from bench.servers.workloads import MIB

_FEW, _MANY = 1, 4


def one_process(environment: Environment) -> Iterator[Outcome]:
    goal, size = GOALS["process"], _pss_mib(environment, "a node of one process")
    what = "memory of a node of one process"
    yield Outcome(what, f"{size:.2f} MiB", str(goal), goal.is_met(size))


def further_workers(environment: Environment) -> Iterator[Outcome]:
    few, many = (
        _pss_mib(environment, f"{count} workers", f"--worker-processes={count}")
        for count in (_FEW, _MANY)
    )
    goal, each = GOALS["further-worker"], (many - few) / (_MANY - _FEW)
    what = f"memory of each worker more, {_MANY} beside {_FEW}"
    yield Outcome(what, f"{each:.2f} MiB", str(goal), goal.is_met(each))
    yield beside("the whole nodes, MiB", f"{many:.2f}, {few:.2f}")


def _pss_mib(environment: Environment, name: str, *options: str) -> float:
    with environment.peers.node(name, *options) as peer:
        return peer.settled_memory().pss_bytes / MIB
