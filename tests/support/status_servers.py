"""Nodes as `mogstored top` sees them: admin listeners that answer as a test wants."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from mogpoll.threads import start_thread
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


def status_of(*devices: dict[str, Any], requests: int = 0, **node: Any) -> dict[str, Any]:
    """Return the content of a `/status.json`."""
    return {
        "schema": 1,
        "time": 1_796_000_000.5,
        "node": {
            "hostname": "stor1.example",
            "version": "1.2.3",
            "python": "3.13.1",
            "backend": "epoll",
            "pid": 4711,
            "started_at": 1_795_000_000.0,
            "uptime_seconds": 1_000_000.5,
            "state": "serving",
            "ready": True,
            "not_ready_reasons": [],
            "worker_processes": 2,
            "worker_restarts": 0,
            "upgrades": 0,
            **node,
        },
        "workers": [{"number": 1, "pid": 1, "answers": True}],
        "listeners": [{"kind": "http", "address": "0.0.0.0:7500", "docroot": "/var/mogdata"}],
        "connections": {
            "http": {"idle": 3, "active": 2, "waiting": 1},
            "sidechannel": {"idle": 1, "active": 0, "waiting": 0},
        },
        "http": {
            "requests": {"GET": {"200": requests, "503": 2}, "PUT": {"201": 10}},
            "received_bytes": 1000,
            "sent_bytes": 2000,
            "durations": {"GET": {"count": 1, "sum_seconds": 0.5, "buckets": [[None, 1]]}},
        },
        "devices": list(devices),
    }


def device_of(name: str, **fields: Any) -> dict[str, Any]:
    """Return a device of such a status: half full, and idle, if `fields` do not say else."""
    return {
        "device": name,
        "docroot": "/var/mogdata",
        "path": f"/var/mogdata/{name}",
        "source": "/dev/sdx1",
        "state": "ok",
        "state_since": None,
        "size_bytes": 2**40,
        "available_bytes": 2**39,
        "inodes": 1000,
        "inodes_free": 900,
        "utilization_ratio": 0.125,
        "utilization_history": [0.0, None, 0.125],
        "in_flight": 0,
        "waiting": 0,
        "oldest_waiting_seconds": 0.0,
        "errors_total": 0,
        "errors": {},
        "operations": {"read": {"count": 0, "sum_seconds": 0.0}},
        **fields,
    }


class StatusServer:
    """An admin listener: answers each request with `content`, which a test may change.

    `asked` counts requests. `gate` holds answers back while it is not set.
    """

    def __init__(self, content: object, status: int = 200, host: str = "127.0.0.1") -> None:
        self.content = content
        self.status = status
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked += 1
                assert owner.gate.wait(PATIENCE_S)
                content = owner.content
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                # The client may have left.
                with contextlib.suppress(OSError):
                    self.send_response(owner.status if self.path == "/status.json" else 404)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True
            request_queue_size = 50

        self._server = Server((host, 0), Handler)
        self.port: int = self._server.server_address[1]
        self.name = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread = start_thread(lambda: self._server.serve_forever(0.05), "status server")
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join(PATIENCE_S)
        self._server.server_close()


@contextlib.contextmanager
def raw_server(answer: bytes, *, closes: bool = True) -> Iterator[int]:
    """Yield the port of a server that reads once from each client, sends `answer`, and closes.

    If it does not close, clients wait for more until the end of the block.
    """
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as clients:

        def serve() -> None:
            while True:
                client = clients.enter_context(listener.accept()[0])
                if is_over.is_set():
                    return
                client.settimeout(PATIENCE_S)
                with contextlib.suppress(OSError):
                    client.recv(4096)
                    client.sendall(answer)
                if closes:
                    client.close()

        thread = start_thread(serve, "raw server")
        address = listener.getsockname()
        try:
            yield address[1]
        finally:
            is_over.set()
            # It waits for one more.
            socket.create_connection(address, PATIENCE_S).close()
            thread.join(PATIENCE_S)


@contextlib.contextmanager
def silent_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Yield a port that takes connections and says nothing."""
    with socket.create_server((host, 0), backlog=50) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def closed_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Yield a port that refuses connections, and that no other process gets."""
    with socket.socket() as bound:
        bound.bind((host, 0))
        yield bound.getsockname()[1]
