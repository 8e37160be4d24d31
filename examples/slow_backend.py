"""A web server before a slow back end: static pages do not wait for it.

`/slow...` is answered by a function that takes its time, in threads of its own; the connection is
parked meanwhile. Everything else is a file of the folder, read by the step itself.
"""

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mogpoll import Acceptor, Next, WorkerPool, open_poller

MAX_HEAD = 16384


class Connection:
    def __init__(self, connection: socket.socket) -> None:
        self.fileno, self.close = connection.fileno, connection.close
        self._connection = connection
        self._head = self._answer = b""

    def step(self, _workspace: None) -> Next:
        try:
            if not self._answer:
                self._head += self._connection.recv(MAX_HEAD)
                if b"\r\n\r\n" not in self._head:
                    # A head that has ended too early, or that does not end.
                    return Next.READ if 0 < len(self._head) < MAX_HEAD else Next.CLOSE
                path = self._head.split(b" ", 2)[1].decode("latin-1")
                if path.startswith("/slow"):
                    back_end.submit(self._ask, path)
                    return Next.PARKED
                self._answer = read_page(path)
            self._answer = self._answer[self._connection.send(self._answer) :]
        except BlockingIOError:
            return Next.WRITE if self._answer else Next.READ
        except (ConnectionError, IndexError):
            return Next.CLOSE
        return Next.WRITE if self._answer else Next.CLOSE

    def _ask(self, path: str) -> None:
        """Run in a thread of the back end, which owns the connection until it resumes it."""
        try:
            self._answer = response("200 OK", think(path))
        except Exception:
            self._answer = response("502 Bad Gateway", b"")
        pool.resume(self)


def think(path: str) -> bytes:
    time.sleep(0.1)
    return f"{path} took its time\n".encode()


def read_page(path: str) -> bytes:
    file = (folder / path.lstrip("/")).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        return response("404 Not Found", b"")
    return response("200 OK", file.read_bytes())


def response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


folder = Path(sys.argv[2]).resolve()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
with (
    open_poller() as poller,
    WorkerPool[Connection, None](poller, threads=8) as pool,
    ThreadPoolExecutor(32) as back_end,
    Acceptor(listener, lambda connection, _address: pool.add(Connection(connection))),
):
    print("pages on port", listener.getsockname()[1], flush=True)
    sys.stdin.read()
