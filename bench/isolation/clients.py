"""Those who ask: a load on some devices by wrk, and clients who wait for a bad disk."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.isolation.figures import Run, parse_run
from bench.isolation.place import FILES, PATH_FORMAT
from bench.peers import Peer
from bench.report import LoadError

_SCRIPT = Path(__file__).resolve().with_name("load.lua")
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """Connections that ask for files on the devices `first` to `last`, one after the other."""

    wrk: str
    connections: int
    first: int
    last: int
    files: int = FILES

    def run(self, peer: Peer, seconds: int) -> Run:
        with self.running(peer, seconds) as process:
            output, errors = process.communicate()
        if process.returncode:
            raise LoadError(f"wrk ended with {process.returncode}: {output}{errors}")
        try:
            return parse_run(output)
        except LoadError as error:
            raise LoadError(f"{peer.name}: {error}\n{peer.log_tail()}") from error

    @contextmanager
    def running(self, peer: Peer, seconds: int) -> Iterator[subprocess.Popen[str]]:
        """Run beside something else."""
        options = ["-t", "1", "-c", str(self.connections), "-d", f"{seconds}s", "--latency"]
        options += ["--timeout", "60s", "-s", str(_SCRIPT), f"http://127.0.0.1:{peer.port}/"]
        arguments = [PATH_FORMAT, self.first, self.last, self.files]
        process = subprocess.Popen(
            [self.wrk, *options, "--", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


@contextmanager
def waiting_clients(peer: Peer, path: str, count: int) -> Iterator[list[socket.socket]]:
    """Send a request on each of `count` connections, and do not read the answers."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", peer.port), _ANSWER_S)
            clients.append(stack.enter_context(client))
            client.sendall(request)
        yield clients


def await_answers(clients: Iterable[socket.socket]) -> None:
    """Return when each has the beginning of its answer. Raises: LoadError."""
    for client in clients:
        if client.recv(1) != b"H":
            raise LoadError("a request was lost that waited for a disk which is back now")
