"""The processes of a node: its workers, their clients, their titles in `ps`."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil

from tests.support.http import Client, compose
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.daemon import Node

C = TypeVar("C", bound=Client)


def workers_of(node: Node) -> list[psutil.Process]:
    """Return the worker processes of a node that has no upgrade under way."""
    return [each for each in node.process.children() if name_of(each) == "mogstored"]


def name_of(process: psutil.Process) -> str | None:
    """Return the name of a process, None if it has ended meanwhile."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs: a zombie has ended, and only its parent has not heard it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def bystander(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run another program, by default one that only sleeps; kill it in the end."""
    with subprocess.Popen(command or ["sleep", "600"]) as process:
        try:
            # On Linux a program is under way a moment before its command line can be read.
            wait_until(psutil.Process(process.pid).cmdline, "its command line can be read")
            yield process
        finally:
            process.kill()


def suspend(process: psutil.Process) -> None:
    """Stop a process by SIGSTOP; return when none of its threads runs any more.

    The state of a process is that of its first thread; on Linux another may go on for a moment.
    """
    process.suspend()
    threads = Path(f"/proc/{process.pid}/task")

    def is_stopped() -> bool:
        if not threads.is_dir():
            return bool(process.status() == psutil.STATUS_STOPPED)
        states = [each.read_text().rpartition(") ")[2][0] for each in threads.glob("*/stat")]
        return set(states) == {"T"}

    wait_until(is_stopped, f"{process.pid} is suspended")


def pids_of(node: Node) -> set[int]:
    """Return the numbers of a node's workers."""
    return {worker.pid for worker in workers_of(node)}


def shown_by_ps(pid: int) -> str:
    """Return what plain `ps` shows of a process, in one line that is not cut off."""
    done = subprocess.run(["ps", "-ww", str(pid)], capture_output=True, check=False)
    return done.stdout.decode(errors="replace").partition("\n")[2].strip()


def owner_of(client: Client, candidates: list[psutil.Process]) -> psutil.Process:
    """Return the process that holds the other end of a connection."""
    for process in candidates:
        if _own_address(client) in _peers_of(process):
            return process
    raise AssertionError(f"none of {candidates} has the connection from {client.sock}")


def _peers_of(process: psutil.Process) -> set[tuple[object, ...]]:
    """Slow where many sockets are open: psutil reads the table of the whole system."""
    return {tuple(each.raddr) for each in process.net_connections(kind="tcp")}


def _own_address(client: Client) -> tuple[object, ...]:
    address: tuple[object, ...] = client.sock.getsockname()
    return address[:2]


def one_for_each_worker(node: Node, connect: Callable[[], C]) -> dict[int, C]:
    """Connect until each worker has accepted a client; return one of each, by its number.

    `connect` returns a client that was answered, which its worker has accepted therefore.
    """
    workers = workers_of(node)
    found: dict[int, C] = {}

    def connect_as_many() -> bool:
        new = [connect() for _ in workers]
        clients = {_own_address(client): client for client in new}
        for worker in workers:
            for address in _peers_of(worker) & clients.keys():
                found.setdefault(worker.pid, clients[address])
        return len(found) == len(workers)

    # The kernel picks the acceptor that has waited longest, so one round usually does.
    wait_until(connect_as_many, "each worker has accepted a connection")
    return found


@contextmanager
def clients_of_all(node: Node) -> Iterator[dict[int, Client]]:
    """Yield a client of each worker, by the worker's process number."""
    with ExitStack() as stack:

        def connect() -> Client:
            client = stack.enter_context(Client(node.http))
            assert client.request(compose("GET", "/")).status == 200
            return client

        yield one_for_each_worker(node, connect)


@contextmanager
def one_client_each(node: Node) -> Iterator[list[Client]]:
    """Connect to the node, and to each of its worker processes if it has any."""
    if workers_of(node):
        with clients_of_all(node) as clients:
            yield list(clients.values())
    else:
        with Client(node.http) as client:
            yield [client]


def wait_for_the_end_of(processes: Sequence[psutil.Process]) -> None:
    """Wait for processes that are ending by themselves, children or not."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert alive == []


def is_gone(pid: int) -> bool:
    """Return whether the process has ended; a zombie has."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
