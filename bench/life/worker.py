"""One of four worker processes is killed under load: who notices, and for how long.

A worker counts as replaced when the new process has answered a request. The victim is the one
that runs longest: a worker that ends in the first second of its life is replaced later on
purpose.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from bench.life.busy import COUNT, Busy, busy
from bench.life.node import PATH, Node
from bench.life.waiting import wait_for
from bench.outcome import Outcome, spread
from bench.peers import PeerFailed

GOAL_S = 1.0
_WORKERS = 4
_ROUNDS = 5
# Whoever waits longest is given the next connection, so this many reach every worker.
_PROBES = 2 * _WORKERS
_GROWN_UP_S = 1.2
_REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def measure(home: Path) -> list[Outcome]:
    forked_s, serves_s, own_lost = [], [], []
    hurt: list[tuple[int, str]] = []
    with Node(home, "--worker-processes", str(_WORKERS)) as node, busy(node) as clients:
        master = psutil.Process(node.pid)
        for _ in range(_ROUNDS):
            victim = _choose(master)
            ports = _ports_of(victim, master, clients)
            forked, serves = _kill(node, master, victim)
            clients.see_all_served()
            forked_s.append(forked)
            serves_s.append(serves)
            own_lost.append(sum(port in ports for port, _ in clients.lost))
            hurt += [loss for loss in clients.lost if loss[0] not in ports]
            clients.lost.clear()
        clients.finish()
        hurt += clients.lost
    return [
        Outcome(
            f"kill -9 of one of {_WORKERS} workers: until the next one answers",
            f"all < {GOAL_S:g} s",
            spread(serves_s, f" s; forked in {spread(forked_s, ' s')}"),
            max(serves_s) < GOAL_S,
            {"forked_s": forked_s, "serves_s": serves_s},
        ),
        Outcome(
            f"  errors of the other workers' clients ({COUNT} in all)",
            "0",
            f"{len(hurt)} in {_ROUNDS} kills; {sum(own_lost)} of its own",
            not hurt,
            {"hurt": hurt, "own_lost": own_lost, "requests": clients.requests},
        ),
    ]


def _choose(master: psutil.Process) -> psutil.Process:
    """The oldest worker, when it and its siblings are there and it is old enough."""
    workers = wait_for(lambda: _all_workers(master), "all workers are there")
    oldest = min(workers, key=psutil.Process.create_time)
    wait_for(lambda: time.time() - oldest.create_time() > _GROWN_UP_S, "it is old enough")
    return oldest


def _all_workers(master: psutil.Process) -> list[psutil.Process]:
    found = master.children()
    return found if len(found) == _WORKERS else []


def _ports_of(victim: psutil.Process, master: psutil.Process, clients: Busy) -> set[int]:
    """The client ports of the victim's connections; every client must be known to some worker."""
    ports = {worker.pid: _client_ports(worker) for worker in master.children()}
    clients.look()
    known = sum(map(len, ports.values()))
    if known != COUNT or clients.lost or not ports[victim.pid]:
        shares = sorted(map(len, ports.values()))
        raise PeerFailed(f"of {COUNT} clients the workers have {shares}; lost: {clients.lost}")
    return ports[victim.pid]


def _client_ports(worker: psutil.Process) -> set[int]:
    return {
        connection.raddr.port
        for connection in worker.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr
    }


def _kill(node: Node, master: psutil.Process, victim: psutil.Process) -> tuple[float, float]:
    """Return when the next process was there, and when it had answered, in seconds from now."""
    before = {worker.pid for worker in master.children()}
    victim.kill()
    began = time.monotonic()
    new = wait_for(lambda: {w.pid for w in master.children()} - before, "a new worker is there")
    forked = time.monotonic() - began
    worker = psutil.Process(new.pop())
    return forked, wait_for(lambda: _served_at(node, worker), "the new worker answers") - began


def _served_at(node: Node, worker: psutil.Process) -> float | None:
    """Have some requests answered by whoever takes them; return when `worker` answered one.

    Looking up whose a connection is takes far longer than an answer, so that is done last.
    """
    answered_at = {}
    with ExitStack() as held:
        for _ in range(_PROBES):
            client = held.enter_context(socket.create_connection(("127.0.0.1", node.http), 30))
            client.sendall(_REQUEST)
            if client.recv(4096):
                answered_at[client.getsockname()[1]] = time.monotonic()
        own = _client_ports(worker) & answered_at.keys()
    return min((answered_at[port] for port in own), default=None)
