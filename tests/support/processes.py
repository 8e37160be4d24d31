"""The processes behind a node: its workers, which of them has a client, what `ps` shows."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psutil

from tests.support.http import Client, compose
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import Node


def workers_of(node: Node) -> list[psutil.Process]:
    """Return the worker processes of a node that has no upgrade under way."""
    return list(node.process.children())


def shown_by_ps(pid: int) -> str:
    """Return what plain `ps` shows of a process, in one line that is not cut off."""
    done = subprocess.run(["ps", "-ww", str(pid)], capture_output=True, check=False)
    return done.stdout.decode(errors="replace").partition("\n")[2].strip()


def owner_of(client: Client, candidates: list[psutil.Process]) -> psutil.Process:
    """Return the process that holds the other end of a connection."""
    address = client.sock.getsockname()
    for process in candidates:
        for connection in process.net_connections(kind="tcp"):
            if tuple(connection.raddr) == address[:2]:
                return process
    raise AssertionError(f"none of {candidates} has the connection from {address}")


@contextmanager
def clients_of_all(node: Node) -> Iterator[dict[int, Client]]:
    """Connect until each worker has a client; yields one of each, by its number."""
    workers = workers_of(node)
    found: dict[int, Client] = {}
    with ExitStack() as stack:

        def connect() -> bool:
            client = stack.enter_context(Client(node.http))
            assert client.request(compose("GET", "/")).status == 200
            found.setdefault(owner_of(client, workers).pid, client)
            return len(found) == len(workers)

        wait_until(connect, "each worker has accepted a connection")
        yield found


def is_gone(pid: int) -> bool:
    """Say whether no such process runs; one that nobody has asked for its status does not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
