"""Values of /status.json: a node as one imagines it, and a server that shows it with its page."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from mogstored.admin.page import HEADERS, render

if TYPE_CHECKING:
    from collections.abc import Iterator

Status = dict[str, Any]

_TIB = 2**40


def device(number: int, **changes: Any) -> Status:
    """Return a device that is ok and half busy, with these changes."""
    swing = [0.5 + 0.35 * math.sin((number * 7 + second) / 6) for second in range(60)]
    name = f"dev{number}"
    return {
        "device": name,
        "docroot": "/srv/mogile",
        "path": f"/srv/mogile/{name}",
        "source": f"/dev/mapper/disk{number:03}",
        "state": "ok",
        "state_since": 1_764_000_000.0,
        "size_bytes": 16 * _TIB,
        "available_bytes": int((0.08 + number * 37 % 50 / 100) * 16 * _TIB),
        "inodes": 976_000_000,
        "inodes_free": 940_000_000,
        "utilization_ratio": swing[-1],
        "utilization_history": swing,
        "in_flight": number % 3,
        "waiting": 0,
        "oldest_waiting_seconds": 0.0,
        "errors_total": 0,
        "errors": {},
        "operations": {"read": {"count": 91_842, "sum_seconds": 812.4}},
        "wait": {"count": 91_842, "sum_seconds": 3.1},
        "scrub": None,
    } | changes


def scrubbed(*findings: tuple[str, str, str, float]) -> Status:
    """Return what a device says of its scrub: path, kind, what was found and when, of each."""
    return {
        "began_at": 1_764_000_000.0,
        "ended_at": None,
        "files": 12_000,
        "read_bytes": 16 * _TIB,
        "mismatches": 0,
        "unreadable": 0,
        "bad_checksums": 0,
        "findings": [
            {"time": time, "path": path, "kind": kind, "expected": "", "found": found}
            for path, kind, found, time in findings
        ],
    }


def faulty_devices(now: float) -> list[Status]:
    """Return one device in each condition that is not ok, and one of which little is known."""
    idle = {"utilization_ratio": 0.0, "utilization_history": [0.4] * 20 + [0.0] * 40}
    stuck = {"utilization_ratio": 1.0, "utilization_history": [0.3] * 22 + [1.0] * 38}
    unknown = dict.fromkeys(("size_bytes", "available_bytes", "inodes", "inodes_free"))
    eio = {"errors_total": 1204, "errors": {"read": {"EIO": 1190}, "write": {"EIO": 14}}}
    queue = {"in_flight": 8, "waiting": 41, "oldest_waiting_seconds": 38.2}
    rofs = {"errors_total": 37, "errors": {"write": {"EROFS": 35}, "delete": {"EROFS": 2}}}
    return [
        device(3, state="hung", state_since=now - 38, **queue, **stuck),
        device(9, state="read-only", state_since=now - 5430, **rofs, **idle),
        device(14, state="failed", state_since=now - 190_000, **eio, **idle),
        device(17, state="unmounted", state_since=now - 64, source=None, **unknown, **idle),
        device(21, available_bytes=11 * 2**30),
        device(23, inodes_free=12),
        device(26, waiting=3, in_flight=8, oldest_waiting_seconds=0.21),
        device(28, utilization_ratio=None, utilization_history=[]),
    ]


def status(devices: list[Status], **changes: Any) -> Status:
    """Return the status of a busy node with four worker processes, with changes at the top."""
    now = time.time()
    started = now - 273_912
    return {
        "schema": 1,
        "time": now,
        "node": {
            "hostname": "store07.example.net",
            "version": "1.0.0",
            "python": "3.13.1",
            "backend": "epoll",
            "pid": 2714,
            "started_at": started,
            "uptime_seconds": now - started,
            "state": "serving",
            "ready": True,
            "not_ready_reasons": [],
            "worker_processes": 4,
            "worker_restarts": 1,
            "upgrades": 0,
            "cpu_seconds": 48_219.4,
            "resident_bytes": 241_172_480,
            "open_files": 1893,
            "max_open_files": 65_536,
        },
        "workers": [
            {
                "number": number,
                "pid": 2720 + number,
                "state": "serving",
                "started_at": started + number,
                "connections": 100 + number,
                "cpu_seconds": 12_000.5 + 31 * number,
                "resident_bytes": 58_720_256 + number,
                "open_files": 460 + number,
                "answers": True,
            }
            for number in range(4)
        ],
        "listeners": [
            {"kind": "http", "address": "0.0.0.0:7500", "docroot": "/srv/mogile"},
            {"kind": "mgmt", "address": "0.0.0.0:7501", "docroot": "/srv/mogile"},
            {"kind": "admin", "address": "[::1]:7502", "docroot": None},
        ],
        "connections": {
            "http": {"idle": 362, "active": 44, "waiting": 6},
            "sidechannel": {"idle": 11, "active": 1, "waiting": 0},
        },
        "http": {
            "requests": {
                "GET": {"200": 81_204_112, "206": 4211, "404": 9120, "503": 3},
                "HEAD": {"200": 201_877},
                "PUT": {"201": 3_811_204, "507": 12},
                "DELETE": {"204": 120_458, "404": 311},
            },
            "received_bytes": 3_912_884_101_220,
            "sent_bytes": 91_204_411_870_112,
            "durations": {
                "GET": {"count": 81_217_446, "sum_seconds": 51_166.9, "buckets": []},
                "PUT": {"count": 3_811_216, "sum_seconds": 21_342.8, "buckets": []},
            },
            "content_md5_mismatches": 0,
        },
        "sidechannel": {"commands": {"size": 1_204_889, "MD5": 20_411, "watch": 3}},
        "threads": {
            "worker": {"running": 9, "idle": 71},
            "acceptor": {"running": 0, "idle": 8},
        },
        "devices": devices,
    } | changes


def busier(before: Status, seconds: float) -> Status:
    """Return the same node some seconds later, after some more requests."""
    after: Status = json.loads(json.dumps(before))
    after["time"] += seconds
    after["node"]["uptime_seconds"] += seconds
    after["node"]["cpu_seconds"] += 0.6 * seconds
    after["http"]["requests"]["GET"]["200"] += int(1000 * seconds)
    after["http"]["sent_bytes"] += int(64 * 2**20 * seconds)
    after["http"]["received_bytes"] += int(8 * 2**20 * seconds)
    for worker in after["workers"]:
        worker["cpu_seconds"] += 0.15 * seconds
    return after


class StatusServer:
    """Serves the page and the JSON of its `status`, which tests replace."""

    def __init__(self, status: Status, port: int = 0) -> None:
        self.status = status
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/":
                    self._answer(200, HEADERS, render(outer.status))
                elif self.path == "/status.json":
                    outer.asked += 1
                    body = json.dumps(outer.status).encode()
                    self._answer(200, (("Content-Type", "application/json"),), body)
                else:
                    self._answer(404, (), b"")

            def _answer(self, code: int, headers: Any, body: bytes) -> None:
                self.send_response(code)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def served(status: Status) -> Iterator[StatusServer]:
    """Serve the status for the duration of the block."""
    server = StatusServer(status)
    try:
        yield server
    finally:
        server.stop()
