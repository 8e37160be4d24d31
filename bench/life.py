"""The life of a daemon in figures: `python -m bench.life` prints each with its goal.

Checksums against hashlib alone, one more watcher beside 400, the start with 500 devices,
upgrades under busy clients, and a worker process that is killed. The machine's noise goes
into all of it: figures are medians, or the worst where the goal is a promise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MIB = 1024 * 1024
_REQUEST = b"GET /dev1/file HTTP/1.1\r\nHost: h\r\n\r\n"
# As fast as it can: a report is a line of a disk and an empty line.
_FAST_IOSTAT = "yes 'sda 0.00 1.23\n'"


class Node:
    """A node on free ports, with its log in a file."""

    def __init__(self, docroot: Path, *extra: str, env: dict[str, str] | None = None) -> None:
        self.http, self.mgmt = free_port(), free_port()
        self._log = (docroot / "log").open("ab")
        command = [sys.executable, "-m", "mogstored", "--docroot", str(docroot)]
        command += ["--httplisten", f"127.0.0.1:{self.http}"]
        command += ["--mgmtlisten", f"127.0.0.1:{self.mgmt}", *extra]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, stderr=self._log, env={**os.environ, **(env or {})}, cwd="/"
        )

    def wait_until_served(self) -> float:
        """Return how long it took from the start to the first answer, in seconds."""
        while True:
            try:
                with connect(self.http) as client:
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    if client.recv(100):
                        return time.monotonic() - self.began
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError("the node has ended; see its log") from None
                time.sleep(0.002)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


class Client(threading.Thread):
    """Asks for a file again and again, and gives a connection up only when it is told to."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.stopped = threading.Event()
        self.answered = 0
        self.lost: list[str] = []
        self.local_port = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._use_one_connection()
            except OSError as error:
                self.lost.append(str(error))

    def _use_one_connection(self) -> None:
        with connect(self._port) as sock:
            self.local_port = sock.getsockname()[1]
            while not self.stopped.is_set():
                sock.sendall(_REQUEST)
                answer = b""
                while not answer.endswith(b"content"):
                    piece = sock.recv(4096)
                    if not piece:
                        raise ConnectionError(f"no answer after {answer[:20]!r}")
                    answer += piece
                self.answered += 1
                if b"Connection: close" in answer:
                    return


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@contextmanager
def docroot(devices: int = 1) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        for number in range(1, devices + 1):
            (place / f"dev{number}").mkdir()
        (place / "dev1" / "file").write_bytes(b"content")
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def busy(port: int, count: int = 64) -> Iterator[list[Client]]:
    clients = [Client(port) for _ in range(count)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join(30)


def digest() -> tuple[str, str, bool]:
    with docroot() as place:
        file = place / "dev1" / "big"
        file.write_bytes(os.urandom(MIB) * 1024)
        node = Node(place)
        node.wait_until_served()
        ratios = []
        with connect(node.mgmt) as sidechannel:
            for _ in range(5):
                began = time.monotonic()
                sidechannel.sendall(b"MD5 /dev1/big\r\n")
                reply = sidechannel.recv(1000)
                through_node = time.monotonic() - began
                began = time.monotonic()
                alone = _hash(file)
                ratios.append((time.monotonic() - began) / through_node)
                assert alone.encode() in reply
        node.stop()
    ratio = statistics.median(ratios)
    return (
        ">= 0.95 of hashlib alone",
        f"{ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
        ratio >= 0.95,
    )


def _hash(file: Path) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    block = bytearray(MIB)
    with file.open("rb", buffering=0) as opened:
        while size := opened.readinto(block):
            md5.update(memoryview(block)[:size])
    return md5.hexdigest()


def watch() -> tuple[str, str, bool]:
    with docroot() as place:
        node = Node(place, env={"MOG_IOSTAT_CMD": _FAST_IOSTAT})
        node.wait_until_served()
        crowd = [connect(node.mgmt) for _ in range(400)]
        for each in crowd:
            each.sendall(b"watch\n")
        times = []
        for _ in range(10):
            began = time.monotonic()
            with connect(node.mgmt) as one_more:
                one_more.sendall(b"watch\n")
                block = b""
                while not block.endswith(b".\n"):
                    block += one_more.recv(1000)
            times.append(time.monotonic() - began)
        for each in crowd:
            each.close()
        node.stop()
    return "< 1.5 s", f"{statistics.median(times):.2f} s, worst {max(times):.2f}", max(times) < 1.5


def start() -> tuple[str, str, bool]:
    times = []
    with docroot(500) as place:
        for _ in range(5):
            node = Node(place)
            times.append(node.wait_until_served())
            node.stop()
    return "< 0.5 s", f"{statistics.median(times):.2f} s", statistics.median(times) < 0.5


def upgrade() -> tuple[str, str, bool]:
    with docroot() as place:
        pidfile = place / "pid"
        node = Node(place, "--pidfile", str(pidfile))
        node.wait_until_served()
        pid = node.process.pid
        with busy(node.http) as clients:
            for _ in range(20):
                os.kill(pid, signal.SIGUSR2)
                new = pid
                while new in (pid, 0):
                    time.sleep(0.01)
                    new = _number_in(pidfile)
                before = [client.answered for client in clients]
                os.kill(pid, signal.SIGQUIT)
                if pid == node.process.pid:
                    node.process.wait(60)
                else:
                    psutil.Process(pid).wait(60)
                pid = new
                while any(c.answered == b for c, b in zip(clients, before, strict=True)):
                    time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        psutil.Process(pid).wait(30)
        lost = [reason for client in clients for reason in client.lost]
        answered = sum(client.answered for client in clients)
    return "0 lost in 20 upgrades", f"{len(lost)} lost of {answered}", not lost


def _number_in(pidfile: Path) -> int:
    try:
        return int(pidfile.read_text())
    except (OSError, ValueError):
        return 0


def worker() -> tuple[str, str, bool]:
    times, hurt = [], 0
    with docroot() as place:
        node = Node(place, "--worker-processes", "4")
        node.wait_until_served()
        master = psutil.Process(node.process.pid)
        for _ in range(5):
            with busy(node.http) as clients:
                while any(not client.answered for client in clients):
                    time.sleep(0.01)
                victim = master.children()[-1]
                own = {
                    c.raddr.port
                    for c in victim.net_connections("tcp")
                    if c.status == psutil.CONN_ESTABLISHED
                }
                others = [c for c in clients if c.local_port not in own]
                known = {child.pid for child in master.children()}
                victim.kill()
                began = time.monotonic()
                while len({c.pid for c in master.children()} - known) == 0:
                    time.sleep(0.005)
                times.append(time.monotonic() - began)
            hurt += sum(bool(client.lost) for client in others)
        node.stop()
    figure = f"{statistics.median(times):.2f} s, worst {max(times):.2f}; {hurt} others hurt"
    return "back in 1 s, no other hurt", figure, max(times) < 1 and not hurt


PARTS: dict[str, tuple[str, Callable[[], tuple[str, str, bool]]]] = {
    "digest": ("MD5 of a cached 1 GiB file on the sidechannel", digest),
    "watch": ("one more watcher beside 400, reports at full speed", watch),
    "start": ("start to first answer, 500 devices", start),
    "upgrade": ("upgrade under 64 busy clients", upgrade),
    "worker": ("kill -9 of one of four workers, 64 busy clients", worker),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.life", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="which, of %(default)s")
    for name in parser.parse_args().parts.split(","):
        what, measure = PARTS[name]
        goal, figure, met = measure()
        print(f"{what:52} {goal:26} {figure:36} {'met' if met else 'MISSED'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
