"""Trackers that watch one node: `python -m bench.scale.monitor PORT MGMT DEVICES TRACKERS`.

Each tracker is what the monitor of MogileFS-Server 2.73 (lib/MogileFS/Worker/Monitor.pm) is to a
node: a look at the usage of each device every 2.5 s, a write test of each device every 15 s, and
one connection that watches how busy the disks are. Its HTTP client keeps its connections, and
asks once more on a new one if a kept one ends before the first byte of an answer.

Simpler than there: a tracker has one connection at a time, not up to 20, and sends its requests
one after another. All trackers begin at different moments of a round.

`report` is answered with what was done since the last report.
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass

from bench.load.child import serve

ROUND_S = 2.5
WRITE_TEST_S = 15.0
TIMEOUT_S = 2.0
_AGENT = "User-Agent: MogileFS::Connection::HTTP/2.73\r\n"
# Of another text than the body, which is a dot.
_BAD_MD5 = "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\n"


@dataclass(slots=True)
class Report:
    """Since the last report, over all trackers. `late_s` is how late the latest round ended."""

    requests: int = 0
    failed: int = 0
    repeated: int = 0
    longest_s: float = 0.0
    late_s: float = 0.0
    received_bytes: int = 0
    watched_lines: int = 0
    watched_bytes: int = 0


class NoAnswer(ConnectionError):
    """The connection ended before the first byte of an answer."""


class Monitor:
    """The HTTP side of one tracker.

    **Threads:** one runs; `take` may be called by another, which holds the lock for a moment.
    """

    def __init__(self, port: int, devices: int) -> None:
        self._address = ("127.0.0.1", port)
        self._devices = devices
        self._socket: socket.socket | None = None
        self._has_served = False
        self._makes_directories = True
        self._knows_md5 = set[int]()
        self._lock = threading.Lock()
        self._report = Report()
        self.failures: list[str] = []

    def take(self) -> Report:
        with self._lock:
            report, self._report = self._report, Report()
        return report

    def run(self, delay_s: float) -> None:
        """Watch for ever."""
        due = tested = time.monotonic() + delay_s
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            writes = begun >= tested
            if writes:
                tested += WRITE_TEST_S
            self.round(writes)
            due += ROUND_S
            with self._lock:
                self._report.late_s = max(self._report.late_s, time.monotonic() - due)

    def round(self, writes: bool) -> None:
        """Look at each device once."""
        for number in range(1, self._devices + 1):
            usage = self._ask("GET", f"/dev{number}/usage", (200,))
            if b"used: " not in usage:
                self._fail(f"usage of dev{number}: {usage!r}")
            elif writes:
                self._test(number)

    def _test(self, number: int) -> None:
        directory = f"/dev{number}/test-write"
        if self._makes_directories:
            self._ask("MKCOL", f"{directory}/", (200, 400, 501), "Content-Length: 0\r\n")
            # A 400 says: never again.
            self._makes_directories = False
        mark = random.randrange(100)
        body = f"time={time.time():.0f} rand={mark}"
        path = f"{directory}/test-write-{mark}"
        self._put(path, body, (200, 201, 204))
        # Another tracker may have written the same file meanwhile.
        if not self._ask("GET", path, (200,)).startswith(b"time="):
            self._fail(f"{path} has other bytes")
        if number not in self._knows_md5:
            self._knows_md5.add(number)
            self._put(f"{directory}/test-md5", ".", (400,), _BAD_MD5)

    def _put(self, path: str, body: str, wanted: tuple[int, ...], fields: str = "") -> None:
        fields += f"Content-Length: {len(body)}\r\n"
        self._ask("PUT", path, wanted, fields, body)

    def _ask(
        self, method: str, path: str, wanted: tuple[int, ...], fields: str = "", body: str = ""
    ) -> bytes:
        """Return the body of the answer; a failure is counted, and empty."""
        begun = time.monotonic()
        try:
            try:
                status, answer = self._exchange(method, path, fields, body)
            except NoAnswer:
                if not self._has_served:
                    raise
                self.close()
                with self._lock:
                    self._report.repeated += 1
                status, answer = self._exchange(method, path, fields, body)
            if status not in wanted:
                self._fail(f"{method} {path}: {status}")
        except (OSError, ValueError) as error:
            self.close()
            self._fail(f"{method} {path}: {type(error).__name__}: {error}")
            answer = b""
        with self._lock:
            self._report.requests += 1
            self._report.longest_s = max(self._report.longest_s, time.monotonic() - begun)
        return answer

    def _exchange(self, method: str, path: str, fields: str, body: str) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, TIMEOUT_S)
            self._has_served = False
        first = "" if self._has_served else "Keep-Alive: 300\r\n"
        kept = "keep-alive" if self._has_served else "Keep-Alive, keep-alive"
        version = "1.0" if method == "GET" else "1.1"
        host = "{}:{}".format(*self._address)
        head = f"{method} {path} HTTP/{version}\r\n{first}Connection: {kept}\r\nHost: {host}\r\n"
        try:
            self._socket.sendall(f"{head}{_AGENT}{fields}\r\n{body}".encode())
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NoAnswer from error
        return self._answer(self._socket)

    def _answer(self, connection: socket.socket) -> tuple[int, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive(connection, not received)
        head, _, content = received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(content) < length:
            content += self._receive(connection, False)
        self._has_served = True
        if fields[b"connection"] != b"keep-alive":
            self.close()
        with self._lock:
            self._report.received_bytes += len(received) + len(content)
        return int(head.split(b" ", 2)[1]), content

    def _receive(self, connection: socket.socket, is_first: bool) -> bytes:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError as error:
            raise (NoAnswer if is_first else error) from error
        if not piece:
            raise NoAnswer if is_first else ConnectionError("the answer ends early")
        return piece

    def close(self) -> None:
        """Give the connection up; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _fail(self, what: str) -> None:
        with self._lock:
            self._report.failed += 1
        self.failures.append(what)


class Watcher:
    """The connection of one tracker to the sidechannel; it connects again at once when it ends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._lines = self._bytes = 0

    def take(self) -> tuple[int, int]:
        with self._lock:
            taken = self._lines, self._bytes
            self._lines = self._bytes = 0
        return taken

    def run(self) -> None:
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S) as connection:
                    connection.settimeout(None)
                    connection.sendall(b"watch\n")
                    while piece := connection.recv(65536):
                        with self._lock:
                            self._lines += piece.count(b"\n")
                            self._bytes += len(piece)
            except OSError:
                time.sleep(0.1)


def main(port: int, mgmt: int, devices: int, trackers: int) -> None:
    monitors = [Monitor(port, devices) for _ in range(trackers)]
    watchers = [Watcher(mgmt) for _ in range(trackers)]
    for number, monitor in enumerate(monitors):
        delay_s = ROUND_S * number / trackers
        threading.Thread(target=monitor.run, args=(delay_s,), daemon=True).start()
    for watcher in watchers:
        threading.Thread(target=watcher.run, daemon=True).start()

    def report(_: str) -> object:
        reports = [monitor.take() for monitor in monitors]
        lines = [watcher.take() for watcher in watchers]
        total = Report(
            requests=sum(each.requests for each in reports),
            failed=sum(each.failed for each in reports),
            repeated=sum(each.repeated for each in reports),
            longest_s=max((each.longest_s for each in reports), default=0.0),
            late_s=max((each.late_s for each in reports), default=0.0),
            received_bytes=sum(each.received_bytes for each in reports),
            watched_lines=sum(each for each, _ in lines),
            watched_bytes=sum(each for _, each in lines),
        )
        failures = [what for monitor in monitors for what in monitor.failures]
        return {**asdict(total), "failures": failures[:5]}

    serve(report)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
