"""A client for GET of large files that is cheaper than the server, run as a child process.

wrk reads 8 KiB at a time and parses them: with files of 1 MiB it needs more processor time than
the server, and the rate is then its own. Here the kernel discards the content (MSG_TRUNC on TCP
copies nothing, tcp(7)), so that the server limits the rate. Every answer's status and length are
checked; the bytes have been compared once before the run.

When the time is over no more is asked for, but what is under way is read to its end and counted,
and the run lasts until then. Otherwise the server's work on answers that do not count would be in
the figures, and with large files it is no small part.

`python -m bench.load.large_get_client PORT SIZE FIRST_FID FILES CONNECTIONS SECONDS`
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

from bench.base.figures import percentile
from bench.servers.peers import PeerFailed
from bench.servers.workloads import MIB, fid_path

_HEAD_BYTES = 4096
_STALLED_S = 30.0
_PIECE = memoryview(bytearray(MIB))  # never touched: only its length counts


class BadAnswer(PeerFailed):
    """An answer other than 200 with the right length, or one that ends early."""


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


@dataclass(slots=True)
class Download:
    """One answer of `size` bytes after the other on one connection."""

    socket: socket.socket
    size: int
    started_s: float = 0.0
    missing: int = 0
    in_head: bool = False

    def ask(self, path: str) -> None:
        self.started_s, self.in_head = time.perf_counter(), True
        self.socket.sendall(request(path))

    def receive(self) -> int:
        """Take what has arrived; return how many bytes of content are still missing.

        Raises: BadAnswer, OSError.
        """
        if self.in_head:
            self._receive_head()
        else:
            got = self.socket.recv_into(_PIECE, min(self.missing, MIB), socket.MSG_TRUNC)
            if not got:
                raise BadAnswer(f"the answer ends {self.missing} bytes early")
            self.missing -= got
        return self.missing

    def _receive_head(self) -> None:
        head, end, content = self.socket.recv(_HEAD_BYTES).partition(b"\r\n\r\n")
        length = b"\r\ncontent-length: %d\r\n" % self.size
        is_right = end and length in head.lower() + b"\r\n" and head.startswith(b"HTTP/1.1 200 ")
        if not is_right:
            raise BadAnswer(f"unexpected answer: {head!r}")
        self.in_head, self.missing = False, self.size - len(content)


def run(port: int, paths: Sequence[str], size: int, connections: int, seconds: float) -> str:
    """Load the server and return the report."""
    unasked = cycle(paths)
    latencies_s: list[float] = []
    read = status = 0
    with ExitStack() as stack:
        poll, clients = stack.enter_context(select.epoll()), {}
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            clients[sock.fileno()] = Download(sock, size)
            poll.register(sock, select.EPOLLIN)
        began_s = time.perf_counter()
        for client in clients.values():
            client.ask(next(unasked))
        while clients and not read + status:
            ready = poll.poll(_STALLED_S)
            if not ready:
                read += len(clients)  # none of them gets on
            for fd, _ in ready:
                client = clients[fd]
                try:
                    if client.receive():
                        continue
                except OSError:
                    read += 1
                    continue
                except BadAnswer:
                    status += 1
                    continue
                now_s = time.perf_counter()
                latencies_s.append(now_s - client.started_s)
                if now_s < began_s + seconds:
                    client.ask(next(unasked))
                else:
                    poll.unregister(fd)
                    del clients[fd]
        lasted_s = time.perf_counter() - began_s
    return _report(latencies_s, lasted_s, read, status)


def _report(latencies_s: Sequence[float], lasted_s: float, read: int, status: int) -> str:
    """The line that wrk.lua prints, too."""
    p50, p99 = (percentile(latencies_s, part) * 1e6 for part in (0.5, 0.99))
    longest = max(latencies_s, default=0.0) * 1e6
    return (
        f"bench requests={len(latencies_s)} duration_us={lasted_s * 1e6:.0f} p50_us={p50:.0f} "
        f"p99_us={p99:.0f} max_us={longest:.0f} "
        f"connect=0 read={read} write=0 timeout=0 status={status}"
    )


if __name__ == "__main__":
    _port, _size, _first, _files, _connections = map(int, sys.argv[1:6])
    _paths = [fid_path(1, fid) for fid in range(_first, _first + _files)]
    print(run(_port, _paths, _size, _connections, float(sys.argv[6])))
