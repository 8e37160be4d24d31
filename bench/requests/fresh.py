"""What users do: reads, and PUTs whose names never repeat, on a file system made for each run.

Each run of each server has a file system of its own, which holds all of its files: also those in
which nginx collects bodies, so that it need not copy them. The server starts on it and is warmed
up there. A sync costs what it costs where the images lie, which is no disk.

`durability` sets the levels of one node beside each other in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from bench.base.figures import Sample
from bench.base.file_systems import TMPFS, fresh
from bench.base.goals import Goal
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome
from bench.environment import WARM_UP_S, Environment
from bench.requests.beside import CONNECTIONS, Maker, goal_of, makers_of, set_beside
from bench.servers.peers import NGINX, NODE
from bench.servers.workloads import WORKLOADS, Workload, write_files

Measure = Callable[[Environment], Iterator[Outcome]]

_SPREAD = ("get-1k", "put-1k", "put-64k")
LEVELS = ("full", "data", "none")


def puts(kind: str) -> Measure:
    """What measures PUTs of 1 KiB on file systems of `kind`; one number of clients has a goal."""

    def measure(environment: Environment) -> Iterator[Outcome]:
        makers = makers_of(environment)
        for connections in environment.connections:
            goal = goal_of(environment, goal_on(kind)) if connections == CONNECTIONS else None
            yield from _compare(environment, kind, makers, WORKLOADS["put-1k"], connections, goal)

    return measure


def one_of(work: Workload, kind: str) -> Measure:
    """What measures one kind of PUT with the usual number of clients; judged if it has a goal."""
    name = goal_on(kind) if work.name == "put-1k" else work.name

    def measure(environment: Environment) -> Iterator[Outcome]:
        makers, goal = makers_of(environment), goal_of(environment, name)
        yield from _compare(environment, kind, makers, work, CONNECTIONS, goal)

    return measure


def processes(environment: Environment) -> Iterator[Outcome]:
    """One process beside as many as there are cores, of the node and of nginx, in memory."""
    if environment.before is not None:
        raise Unmeasurable("--against sets two nodes beside each other, not their processes")
    count = os.cpu_count() or 1
    several = ("--worker-processes", str(count))
    makers: dict[str, Maker] = {
        f"{count} processes": lambda peers: peers.node(f"{count} processes", *several),
        "1 process": lambda peers: peers.node("1 process"),
        f"{NGINX}, {count}": lambda peers: peers.nginx(f"{NGINX}, {count}", workers=count),
        f"{NGINX}, 1": lambda peers: peers.nginx(f"{NGINX}, 1"),
    }
    for name in _SPREAD:
        yield from _compare(environment, TMPFS, makers, WORKLOADS[name], CONNECTIONS, None)


def levels(kind: str) -> Measure:
    """What sets the levels of durability beside each other and nginx."""

    def measure(environment: Environment) -> Iterator[Outcome]:
        makers: dict[str, Maker] = {level: _at(level) for level in LEVELS}
        makers[NGINX] = lambda peers: peers.nginx()
        for connections in environment.connections:
            yield from _compare(environment, kind, makers, WORKLOADS["put-1k"], connections, None)

    return measure


def goal_on(kind: str) -> str:
    """The goal for PUTs of 1 KiB on file systems of a kind."""
    return "put-1k" if kind == TMPFS else f"put-1k-{kind}"


def _at(level: str) -> Maker:
    return lambda peers: peers.node(level, "--durability", level)


def _compare(
    environment: Environment,
    kind: str,
    makers: Mapping[str, Maker],
    work: Workload,
    connections: int,
    goal: Goal | None,
) -> Iterator[Outcome]:
    samples = _on_fresh(environment, kind, makers, work, connections)
    many = "connection" if connections == 1 else "connections"
    ours, base, *_ = samples
    to = f"to {base}" if ours == NODE else f"{ours} to {base}"
    what = f"{work.title}, {kind}, {connections} {many}, {to}"
    yield from set_beside(what, goal, samples, work.size)


def _on_fresh(
    environment: Environment,
    kind: str,
    makers: Mapping[str, Maker],
    work: Workload,
    connections: int,
) -> dict[str, list[Sample]]:
    """Samples of servers that take turns, each run on a file system of its own."""
    content, wrk = environment.workdir / "content", environment.wrk
    (content / "dev1").mkdir(parents=True, exist_ok=True)
    write_files(content, work)

    def running(make: Maker) -> Callable[[float], Sample]:
        def run(seconds: float) -> Sample:
            with fresh(kind, environment.workdir) as directory:
                peers = replace(environment.peers, workdir=directory, content=content)
                with make(peers) as peer:
                    peer.check(work)
                    wrk.run(peer, work, connections, WARM_UP_S, keeps=True)
                    return wrk.run(peer, work, connections, seconds, keeps=True)

        return run

    runs = {name: running(make) for name, make in makers.items()}
    return environment.take_turns(runs, warm_up=False)
