"""One of four worker processes is killed under load: which clients notice, and for how long.

A worker counts as replaced when the new process has answered a request. The victim is the one
that runs longest: a worker that ends in the first second of its life is replaced later on
purpose.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil

from bench.base.figures import spread
from bench.base.goals import Goal
from bench.base.outcome import Outcome, judged
from bench.environment import Environment
from bench.life.clients import COUNT, Busy, busy
from bench.load.large_get_client import request
from bench.servers.peers import Peer, PeerFailed, wait_for
from bench.servers.processes import client_ports
from bench.servers.workloads import GET_1K

_GOAL = Goal("longest", 1.0, unit=" s")
_WORKERS = 4
# The worker that waits longest is given the next connection, so this many reach every worker.
_PROBES = 2 * _WORKERS
_OLD_ENOUGH_S = 1.2


def measure(environment: Environment) -> Iterator[Outcome]:
    kills = environment.scale.kills
    forked_s, serves_s, own_lost = [], [], 0
    hurt: list[tuple[int, str]] = []
    peer = environment.peers.node("workers", "--worker-processes", str(_WORKERS))
    with peer as node, busy(node) as clients:
        master = psutil.Process(node.pid)
        for _ in range(kills):
            victim = _choose(master)
            ports = _ports_of(victim, master, clients)
            forked, serves = _kill(node, master, victim)
            clients.see_all_served()
            forked_s.append(forked)
            serves_s.append(serves)
            own_lost += sum(port in ports for port, _ in clients.lost)
            hurt += [loss for loss in clients.lost if loss[0] not in ports]
            clients.lost.clear()
        clients.look("finish")
        hurt += clients.lost
    what = f"kill -9 of one of {_WORKERS} workers: until the next one answers"
    samples = {"forked_s": forked_s, "serves_s": serves_s}
    yield judged(what, _GOAL, serves_s, samples, f" s; forked in {spread(forked_s, ' s')}", by=max)
    yield Outcome(
        f"  errors of the other workers' clients ({COUNT} in all)",
        f"{len(hurt)} in {kills} kills; {own_lost} of its own",
        "0",
        not hurt,
        {"hurt": hurt, "requests": clients.requests},
    )


def _choose(master: psutil.Process) -> psutil.Process:
    """The oldest worker, once it and its siblings run and it is old enough."""
    workers = wait_for(lambda: _all_workers(master), "all workers run")
    oldest = min(workers, key=psutil.Process.create_time)
    wait_for(lambda: time.time() - oldest.create_time() > _OLD_ENOUGH_S, "it is old enough")
    return oldest


def _all_workers(master: psutil.Process) -> list[psutil.Process]:
    found = master.children()
    return found if len(found) == _WORKERS else []


def _ports_of(victim: psutil.Process, master: psutil.Process, clients: Busy) -> set[int]:
    """The client ports of the victim. Raises: PeerFailed if a client is on no worker."""
    ports = {worker.pid: set(client_ports(worker)) for worker in master.children()}
    clients.look()
    if sum(map(len, ports.values())) != COUNT or clients.lost or not ports[victim.pid]:
        shares = sorted(map(len, ports.values()))
        raise PeerFailed(f"of {COUNT} clients the workers have {shares}; lost: {clients.lost}")
    return ports[victim.pid]


def _kill(node: Peer, master: psutil.Process, victim: psutil.Process) -> tuple[float, float]:
    """Return when the next process ran, and when it had answered, in seconds from now."""
    before = {worker.pid for worker in master.children()}
    victim.kill()
    began = time.monotonic()
    new = wait_for(lambda: {w.pid for w in master.children()} - before, "a new worker runs")
    forked = time.monotonic() - began
    worker = psutil.Process(new.pop())
    return forked, wait_for(lambda: _served_at(node, worker), "the new worker answers") - began


def _served_at(node: Peer, worker: psutil.Process) -> float | None:
    """Have some requests answered; return when `worker` answered one.

    Looking up whose a connection is takes far longer than an answer, so that is done last.
    """
    answered_at = {}
    with ExitStack() as held:
        for _ in range(_PROBES):
            client = held.enter_context(socket.create_connection(("127.0.0.1", node.port), 30))
            client.sendall(request(GET_1K.path(0)))
            if client.recv(4096):
                answered_at[client.getsockname()[1]] = time.monotonic()
        own = answered_at.keys() & set(client_ports(worker))
    return min((answered_at[port] for port in own), default=None)
