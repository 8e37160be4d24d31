"""How long a page takes while all threads of a slow back end are busy."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.base.figures import Sample, sample_of
from bench.examples.server import Server
from bench.servers.peers import PeerFailed

# As many as the back end has threads.
SLOW_CLIENTS = 32
PAGE = b"x" * 1024
_PATIENCE_S = 20


class Visitors:
    """`slow` clients that ask the back end all the time, and one that asks for a page."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._wait_all_the_time) for _ in range(SLOW_CLIENTS)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def visit(self, seconds: float) -> Sample:
        cpu_before, began = self._server.cpu_s(), time.perf_counter()
        delays_s: list[float] = []
        while (now := time.perf_counter()) < began + seconds:
            if ask(self._server, "/page") != PAGE:
                raise PeerFailed("a page has other bytes")
            delays_s.append(time.perf_counter() - now)
        duration_s = time.perf_counter() - began
        return sample_of(delays_s, duration_s, self._server.cpu_s() - cpu_before)

    def _wait_all_the_time(self) -> None:
        while not self._is_over.is_set():
            ask(self._server, "/slow")


def ask(server: Server, path: str) -> bytes:
    """Return the body of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), _PATIENCE_S) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2]


@contextmanager
def visitors(server: Server) -> Iterator[Visitors]:
    found = Visitors(server)
    try:
        yield found
    finally:
        found.close()
