"""From exec to the first answer with many devices, and what of it is Python alone.

On a busy machine the time on the clock says little; the processor time beside it says more.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator

from bench.base.figures import Sample, cpu_us, middle
from bench.base.goals import Goal
from bench.base.outcome import Outcome, beside, judged
from bench.environment import Environment
from bench.servers.peers import Peer
from bench.servers.tools import Node

_GOAL = Goal("median", 0.3, unit=" s")
# What is loaded before the node opens its first socket.
_LOADED = "import mogstored.cli, mogstored.startup"


def measure(environment: Environment) -> Iterator[Outcome]:
    devices, peers = environment.scale.devices, environment.peers
    nodes = [peers.node(mgmt=True), peers.node("without mgmtlisten")]
    for peer in nodes:
        for number in range(1, devices + 1):
            (peer.docroot / f"dev{number}").mkdir(exist_ok=True)
    with_mgmt, without, bare, loaded = environment.take_turns(
        {
            **{peer.name: _starting(peer) for peer in nodes},
            "python": _running(peers.node_command, "pass"),
            "imports": _running(peers.node_command, _LOADED),
        }
    ).values()
    for what, samples in (
        (f"exec to first answer, {devices} devices", with_mgmt),
        ("  the same without mgmtlisten", without),
    ):
        times = [each.duration_s for each in samples]
        yield judged(what, _GOAL, times, {"rounds": samples}, f" s{_cpu(samples)}")
    for what, samples in (
        ("the interpreter alone", bare),
        ("with the node's imports", loaded),
    ):
        shown = f"{middle(samples, lambda each: each.duration_s):.2f} s{_cpu(samples)}"
        yield beside(what, shown, {"rounds": samples})


def _cpu(samples: list[Sample]) -> str:
    return f"; CPU {middle(samples, cpu_us) / 1e6:.2f} s"


def _starting(peer: Peer) -> Callable[[float], Sample]:
    def run(_: float) -> Sample:
        with peer:
            return Sample(1, peer.start_s, peer.start_s, peer.start_cpu_s)

    return run


def _running(node: Node, code: str) -> Callable[[float], Sample]:
    def run(_: float) -> Sample:
        used, began = _children_cpu_s(), time.monotonic()
        subprocess.run(
            [node.python, "-c", code], cwd="/", env=os.environ | node.environment, check=True
        )
        took_s = time.monotonic() - began
        return Sample(1, took_s, took_s, _children_cpu_s() - used)

    return run


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
