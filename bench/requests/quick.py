"""The guard against getting slower, in under a minute: ratios to nginx beside recorded ones.

Ratios of processor times depend little on how fast the machine is. The lowest of the rounds is
taken, on both sides: other work on the machine only ever adds to it. `--record` writes
`recorded.json` anew: do so on a quiet machine, and commit it with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.base.figures import by_round, cpu_us, spread
from bench.base.goals import Goal
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome
from bench.environment import Environment
from bench.requests.beside import CONNECTIONS
from bench.servers.peers import NGINX, NODE
from bench.servers.workloads import WORKLOADS

RECORDED = Path(__file__).parent.with_name("recorded.json")
TOLERANCE = 1.3
NAMES = ("get-1k", "get-64k", "put-1k", "put-64k")


def guard(name: str, ratios: Sequence[float], recorded: float) -> Outcome:
    """Judge the lowest ratio."""
    goal = Goal("lowest", round(recorded * TOLERANCE, 2))
    what = f"{WORKLOADS[name].title}, CPU beside nginx; recorded {recorded:.2f}"
    lowest = round(min(ratios), 2)
    figure, samples = f"{lowest:.2f}, {spread(ratios)}", {"work": name, "lowest": lowest}
    return Outcome(what, figure, str(goal), goal.is_met(lowest), samples)


def read_recorded(name: str, file: Path = RECORDED) -> float:
    """Raises: Unmeasurable when there is no ratio for a workload."""
    recorded: dict[str, float] = json.loads(file.read_text())
    if name not in recorded:
        raise Unmeasurable(f"{file.name} has no ratio for {name}: `bench quick --record`")
    return recorded[name]


def record(outcomes: Sequence[Outcome], file: Path = RECORDED) -> None:
    """Write down the ratios of this run."""
    ratios = {
        each.samples["work"]: round(float(str(each.samples["lowest"])), 2) for each in outcomes
    }
    file.write_text(json.dumps(ratios, indent=1) + "\n")
    print(f"recorded in {file}: {ratios}")


def guarding(name: str) -> Callable[[Environment], Iterator[Outcome]]:
    def measure(environment: Environment) -> Iterator[Outcome]:
        with ExitStack() as stack:
            peers = [environment.peers.node(), environment.peers.nginx()]
            for peer in peers:
                stack.enter_context(peer)
            samples = environment.measure(WORKLOADS[name], CONNECTIONS, peers)
        ratios = by_round(samples[NODE], samples[NGINX], cpu_us)
        yield guard(name, ratios, read_recorded(name))

    return measure
