"""The server of examples/slow_backend.py with 8 threads, each of which serves a whole request."""

from __future__ import annotations

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mogpoll import Acceptor


def serve(connection: socket.socket) -> None:
    connection.setblocking(True)
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(16384)
            if not received:
                return
            head += received
        path = head.split(b" ", 2)[1].decode("latin-1")
        if path.startswith("/slow"):
            time.sleep(0.1)
            body = f"{path} took its time\n".encode()
        else:
            body = (folder / path.lstrip("/")).read_bytes()
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )


folder = Path(sys.argv[2]).resolve()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
with (
    ThreadPoolExecutor(8) as threads,
    Acceptor(listener, lambda connection, _address: threads.submit(serve, connection)),
):
    print("pages on port", listener.getsockname()[1], flush=True)
    sys.stdin.read()
