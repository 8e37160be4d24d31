"""Busy keep-alive clients: `python -m bench.life.clients PORT PATH COUNT` in a child.

Each asks for the same file again and again, and gives its connection up only after an answer
that says `Connection: close`. Whatever else ends a connection, and every answer that is late or
wrong, is a lost request.

`report` is answered with what was done since the start and lost since the last report; `finish`
with the same once every request is answered or lost.
"""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.load.child import Child, serve
from bench.servers.peers import Peer, wait_for
from bench.servers.workloads import GET_1K

COUNT = 64
_LATE_S = 10.0
_CONTENT = b"m" * GET_1K.size


class _Client(threading.Thread):
    """**Threads:** the others only read `answered`, and take from the end of `lost`."""

    def __init__(self, port: int, path: str, finishing: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self._finishing = port, path, finishing
        self.answered = self.connections = 0
        self.lost: list[tuple[int, str]] = []

    def run(self) -> None:
        while not self._finishing.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_LATE_S)
            self.connections += 1
            port = 0
            try:
                connection.connect()
                port = connection.sock.getsockname()[1]
                while not self._finishing.is_set() and self._ask(connection):
                    pass
            except (OSError, http.client.HTTPException) as reason:
                self.lost.append((port, f"{type(reason).__name__}: {reason}"))
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Ask once; False when the server closes the connection after its answer."""
        connection.request("GET", self._path)
        answer = connection.getresponse()
        closes = answer.will_close
        if answer.read() != _CONTENT or answer.status != 200:
            raise http.client.HTTPException(f"wrong answer: {answer.status}")
        self.answered += 1
        return not closes


@dataclass(slots=True)
class Busy:
    """The clients as the measuring process sees them; `lost` has (local port, reason)."""

    _child: Child
    answered: list[int] = field(default_factory=list)
    connections: int = 0
    lost: list[tuple[int, str]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.answered)

    def look(self, command: str = "report") -> None:
        """Take in what has happened so far; after `finish` all requests are answered or lost."""
        report = self._child.ask(command)
        self.answered, self.connections = report["answered"], report["connections"]
        self.lost += [(port, reason) for port, reason in report["lost"]]

    def see_all_served(self) -> None:
        """Wait until each client has had a request answered that it sent after this call."""
        self.look()
        # One answer more may be to a request that was under way.
        wanted = [count + 2 for count in self.answered]

        def reached() -> bool:
            self.look()
            return all(has >= want for has, want in zip(self.answered, wanted, strict=True))

        wait_for(reached, "every client is served")


@contextmanager
def busy(node: Peer) -> Iterator[Busy]:
    """Run the clients; each has been served when this yields."""
    with Child(__name__, node.port, GET_1K.path(0), COUNT) as child:
        clients = Busy(child)
        clients.see_all_served()
        yield clients


def main(port: int, path: str, count: int) -> None:
    finishing = threading.Event()
    clients = [_Client(port, path, finishing) for _ in range(count)]
    for client in clients:
        client.start()

    def answer(command: str) -> object:
        if command == "finish":
            finishing.set()
            for client in clients:
                client.join()
        return {
            "answered": [client.answered for client in clients],
            "connections": sum(client.connections for client in clients),
            "lost": [client.lost.pop() for client in clients for _ in range(len(client.lost))],
        }

    serve(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
