"""A client for GET of large files that is cheaper than the server, run as a child process.

wrk reads 8 KiB at a time and parses them: with files of 1 MiB it needs more CPU time than the
server, and the rate is then its own. Here the kernel throws the content away (MSG_TRUNC on TCP
copies nothing), so that the server is what limits the rate. Every answer's status and length are
looked at; the bytes have been compared once before the run (rounds.py).

When the time is over no more is asked for, but what is under way is read to its end and counted,
and the run lasts until then. Otherwise the server's work on answers that do not count would be
in the figures, and with large files it is no small part.

`python -m bench.sink PORT PATH_FORMAT FIRST COUNT SIZE CONNECTIONS SECONDS`
"""

from __future__ import annotations

import math
import select
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

from bench.report import format_report

_HEAD_BYTES = 4096
_STALLED_S = 30.0
_PIECE = memoryview(bytearray(1024 * 1024))  # never touched: only its length counts


class BadAnswer(Exception):
    """Something else than 200 with the right length."""


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    size: int
    started_s: float = 0.0
    missing: int = 0
    in_head: bool = False

    def ask(self, request: bytes) -> None:
        self.started_s, self.in_head = time.perf_counter(), True
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take what is there; tell whether the answer is complete."""
        if self.in_head:
            self._receive_head()
        else:
            got = self.socket.recv_into(_PIECE, min(self.missing, len(_PIECE)), socket.MSG_TRUNC)
            if not got:
                raise ConnectionResetError
            self.missing -= got
        return not self.missing

    def _receive_head(self) -> None:
        start = self.socket.recv(_HEAD_BYTES)
        if not start:
            raise ConnectionResetError
        head, end, content = start.partition(b"\r\n\r\n")
        length = b"\r\ncontent-length: %d\r\n" % self.size
        right_length = length in head.lower() + b"\r\n"
        if not (end and right_length and head.startswith(b"HTTP/1.1 200 ")):
            raise BadAnswer(head)
        self.in_head, self.missing = False, self.size - len(content)


def run(port: int, paths: list[str], size: int, connections: int, seconds: float) -> str:
    """Load the server and give the report."""
    with ExitStack() as stack:
        poll, clients = stack.enter_context(select.epoll()), {}
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            clients[sock.fileno()] = _Connection(sock, size)
            poll.register(sock, select.EPOLLIN)
        return _load(poll, clients, paths, seconds)


def _load(
    poll: select.epoll, clients: dict[int, _Connection], paths: list[str], seconds: float
) -> str:
    requests = cycle([f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for path in paths])
    latencies_s: list[float] = []
    read_errors = status_errors = 0
    begin_s = time.perf_counter()
    for client in clients.values():
        client.ask(next(requests))
    busy = len(clients)
    while busy and not read_errors + status_errors:
        ready = poll.poll(_STALLED_S)
        if not ready:
            read_errors += busy  # none of them gets on
        for fd, _ in ready:
            client = clients[fd]
            try:
                if not client.receive():
                    continue
                now_s = time.perf_counter()
                latencies_s.append(now_s - client.started_s)
                if now_s < begin_s + seconds:
                    client.ask(next(requests))
                else:
                    busy -= 1
                    poll.unregister(fd)
            except OSError:
                read_errors += 1
            except BadAnswer:
                status_errors += 1
    lasted_s = time.perf_counter() - begin_s
    p99_s = percentile(latencies_s, 0.99)
    return format_report(len(latencies_s), lasted_s, p99_s, read_errors, status_errors)


def percentile(values: list[float], part: float) -> float:
    """The smallest value that at least this part of all values does not exceed."""
    return sorted(values)[math.ceil(len(values) * part) - 1] if values else 0.0


if __name__ == "__main__":
    _port, _format, _first, _count, _size, _connections, _seconds = sys.argv[1:]
    _paths = [_format % number for number in range(int(_first), int(_first) + int(_count))]
    print(run(int(_port), _paths, int(_size), int(_connections), float(_seconds)))
