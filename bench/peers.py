"""The servers that are compared: how each is started, watched and stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import cpu, nginx_config
from bench.works import copy_content

NODE = "mogstored"
NGINX = "nginx"
CMOGSTORED = "cmogstored"
_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 15.0
_LOG_TAIL_BYTES = 2000


class PeerFailed(Exception):
    """A server did not start, did not stay, or answered something else than it must."""


@dataclass(slots=True)
class Peer:
    """One server on a docroot of its own; a context manager that leaves no process behind.

    `home` holds its log, its configuration and its docroot; the process starts there, so that an
    installed package is found before one that merely lies in the caller's directory.
    """

    name: str
    home: Path
    port: int
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    """More variables than we have ourselves."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def docroot(self) -> Path:
        return self.home / "docroot"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise PeerFailed(f"{self.name} is not running")
        return self._process.pid

    def __enter__(self) -> Peer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it answers."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                cwd=self.home,
                env={**child_environment(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; stop() ends the whole group
            )
        deadline = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            self.require_alive()
            if time.monotonic() > deadline:
                raise PeerFailed(f"{self.name} does not answer: {self.log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server: politely first, then all that is left of its process group."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing was left, as it should be
        self._process.wait()
        self._process = None

    def require_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise PeerFailed(f"{self.name} has ended: {' '.join(self.argv)}\n{self.log_tail()}")

    def pids(self) -> list[int]:
        """All processes of the server."""
        return [stat.pid for stat in cpu.tree(self.pid)]

    def cpu_s(self) -> float:
        return cpu.cpu_s(self.pid)

    def memory(self) -> cpu.Memory:
        return cpu.memory(self.pids())

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Ask once, and insist on an answer that keeps the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_LIMIT_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            if answer.will_close:
                raise PeerFailed(f"{self.name} closes after {method} {path}: {answer.status}")
            return answer.status, answer.read()
        finally:
            connection.close()

    def log_tail(self) -> str:
        text = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return text or "(its log is empty)"

    @property
    def _log(self) -> Path:
        return self.home / "log"

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except (ConnectionRefusedError, TimeoutError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes peers below one directory, all with the same content and each on a free port."""

    place: Path
    content: Path
    nginx_binary: str
    nginx_build: str
    python: str

    def nginx(self, name: str = NGINX, connections: int = 4096) -> Peer:
        peer = self._peer(name)
        text = nginx_config.render(peer.home, peer.docroot, peer.port, connections)
        text = nginx_config.without_absent_modules(text, self.nginx_build)
        (peer.home / "nginx.conf").write_text(text)
        peer.argv += [self.nginx_binary, "-p", str(peer.home), "-c", "nginx.conf"]
        return peer

    def node(self, name: str = NODE, extra: Sequence[str] = ()) -> Peer:
        peer = self._peer(name)
        peer.argv += [self.python, "-m", "mogstored", *_listening(peer), *extra]
        return peer

    def cmogstored(self, binary: str) -> Peer:
        peer = self._peer(CMOGSTORED)
        peer.argv += [binary, *_listening(peer)]
        return peer

    def _peer(self, name: str) -> Peer:
        home = self.place / name.replace(" ", "-")
        peer = Peer(name, home, free_port(), [])
        copy_content(self.content, peer.docroot)
        return peer


def child_environment() -> dict[str, str]:
    """Our environment, with a PYTHONPATH that still holds in another directory."""
    environment = dict(os.environ)
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    if any(entries):
        environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(e) for e in entries if e)
    return environment


def _listening(peer: Peer) -> list[str]:
    return ["--docroot", str(peer.docroot), "--httplisten", f"127.0.0.1:{peer.port}"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
