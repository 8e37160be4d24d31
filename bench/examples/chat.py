"""What a chat costs, and how long its lines are on their way to 500 clients."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.base.figures import Sample, sample_of
from bench.examples.server import Server
from bench.servers.peers import PeerFailed

CLIENTS = 500
# A second; each goes to all other clients.
LINES = 20
_PATIENCE_S = 20


class Crowd:
    """Clients that have met: each hears the others."""

    def __init__(self, server: Server, clients: list[socket.socket]) -> None:
        self._server, self._clients = server, clients
        self._selector = selectors.DefaultSelector()
        for client in clients:
            self._selector.register(client, selectors.EVENT_READ, client)

    def close(self) -> None:
        self._selector.close()

    def talk(self, seconds: float) -> Sample:
        """Let clients speak in turn; the requests of the sample are deliveries."""
        cpu_before, began = self._server.cpu_s(), time.perf_counter()
        delays_s: list[float] = []
        for number in range(max(1, round(seconds * LINES))):
            due = began + number / LINES
            time.sleep(max(0.0, due - time.perf_counter()))
            delays_s += self._say(self._clients[number % len(self._clients)], b"%d\n" % number)
        duration_s = time.perf_counter() - began
        return sample_of(delays_s, duration_s, self._server.cpu_s() - cpu_before)

    def _say(self, speaker: socket.socket, line: bytes) -> Iterator[float]:
        """Yield, for each listener, after how many seconds it has the line."""
        said, missing = time.perf_counter(), len(self._clients) - 1
        speaker.sendall(line)
        while missing:
            ready = self._selector.select(_PATIENCE_S)
            if not ready:
                raise PeerFailed(f"{missing} clients of {len(self._clients)} did not get a line")
            for key, _ in ready:
                heard = key.data.recv(4096)
                if heard != line:
                    raise PeerFailed(f"a client heard {heard!r} for {line!r}")
                yield time.perf_counter() - said
            missing -= len(ready)


@contextmanager
def crowd(server: Server, count: int = CLIENTS) -> Iterator[Crowd]:
    """Connect clients, one after the other: who hears the next one is in the chat."""
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.settimeout(_PATIENCE_S)
            clients.append(client)
        *others, last = clients
        last.sendall(b"hello\n")
        for client in others:
            if client.recv(4096) != b"hello\n":
                raise PeerFailed("the clients of a chat did not meet")
        found = Crowd(server, clients)
        stack.callback(found.close)
        yield found
