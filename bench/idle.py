"""Memory of a server that holds many idle keep-alive connections.

The connections are held by a child process (`python -m bench.idle PORT PATH COUNT PAUSE_S`), so
that its descriptor limit and its memory are not ours. It says `held` when every connection has
had one answer, waits until its input is closed, and then says how many the server has closed
meanwhile.
"""

from __future__ import annotations

import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cpu import Memory
from bench.peers import Peer, PeerFailed
from bench.works import GET_1K

CONNECTIONS = 10_000
SERVER_CONNECTIONS = 20_000
_SPARE_DESCRIPTORS = 100
_SOURCES = 4
_SETTLED_S = 0.3
_SETTLE_LIMIT_S = 5.0
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of one peer without and with the connections."""

    before: Memory
    after: Memory
    connections: int

    @property
    def rss_bytes(self) -> int:
        return self.after.rss_bytes - self.before.rss_bytes

    @property
    def pss_bytes(self) -> int:
        return self.after.pss_bytes - self.before.pss_bytes


class FileLimitTooLow(PeerFailed):
    """This process may not have as many open files as are needed."""


def raise_file_limit(wanted: int, otherwise: str = "give --skip-idle") -> None:
    """Lift the limit of open files for this process and its children. Raises: FileLimitTooLow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        limit = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limit))
    except (ValueError, PermissionError) as error:
        raise FileLimitTooLow(
            f"{wanted} open files are needed, the limit is {hard}: raise it or {otherwise}"
        ) from error


def measure(peer: Peer, connections: int = CONNECTIONS) -> Growth:
    """Measure a freshly started peer."""
    peer.request("GET", GET_1K.path(0))
    before = _settled(peer)
    with held(peer, connections):
        after = _settled(peer)
    return Growth(before, after, connections)


def _settled(peer: Peer) -> Memory:
    """Wait until the memory has stopped changing."""
    deadline = time.monotonic() + _SETTLE_LIMIT_S
    seen = peer.memory()
    while time.monotonic() < deadline:
        time.sleep(_SETTLED_S)
        seen, last = peer.memory(), seen
        if seen.rss_bytes == last.rss_bytes:
            break
    return seen


@contextmanager
def held(peer: Peer, connections: int, pause_s: float = 0.0) -> Iterator[None]:
    """Hold connections that came one after the other, each so long after the last."""
    root = Path(__file__).resolve().parent.parent
    argv = [sys.executable, "-m", "bench.idle"]
    argv += [str(each) for each in (peer.port, GET_1K.path(0), connections, pause_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=root) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "held\n":
                raise PeerFailed(
                    f"{peer.name} did not take {connections} connections: {peer.log_tail()}"
                )
            yield
            told, _ = holder.communicate()
            if told != "closed 0\n":
                raise PeerFailed(f"{peer.name} did not keep its idle connections: {told}")
        finally:
            holder.kill()


def hold(port: int, path: str, count: int, pause_s: float) -> None:
    """Be the child: open, ask once, keep, report."""
    raise_file_limit(count + _SPARE_DESCRIPTORS)
    held = []
    for number in range(count):
        time.sleep(pause_s)
        # More source addresses than one: some systems have too few free ports on one.
        source = f"127.0.0.{2 + number % _SOURCES}"
        connection = socket.create_connection(("127.0.0.1", port), 30, (source, 0))
        _ask(connection, path)
        held.append(connection)
    print("held", flush=True)
    sys.stdin.read()
    poll = select.poll()
    for connection in held:
        poll.register(connection, select.POLLIN)
    print(f"closed {len(poll.poll(0))}", flush=True)


def _ask(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length is None or not head.startswith(b"HTTP/1.1 200 "):
        raise PeerFailed(f"unexpected answer: {head!r}")
    while len(body) < int(length[1]):
        body += _some(connection)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise PeerFailed("closed by the server")
    return data


if __name__ == "__main__":
    hold(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
