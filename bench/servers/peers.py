"""The servers that are compared: how each is started, watched and stopped."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import psutil

from bench.base.cleanup import signals_deferred
from bench.servers import nginx_config, processes
from bench.servers.tools import Node
from bench.servers.workloads import Workload

NODE, NGINX, CMOGSTORED, BEFORE = "mogstored", "nginx", "cmogstored", "before"
_LIMIT_S = 60.0
_STOP_LIMIT_S = 15.0
_LOOK_S = 0.002
_LOG_TAIL_BYTES = 2000
_T = TypeVar("_T")


class PeerFailed(Exception):
    """A server or a client of ours did not start, did not stay, or answered wrongly."""


def wait_for(look: Callable[[], _T | None], what: str, limit_s: float = _LIMIT_S) -> _T:
    """Return what `look` returns once that is true. Raises: PeerFailed when it takes too long."""
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise PeerFailed(f"not within {limit_s:g} s: {what}")
        time.sleep(_LOOK_S)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Peer:
    """One server on a docroot of its own; a context manager that leaves no process behind.

    `home` holds its log, its configuration and its docroot; the process starts there, so that an
    installed package is found before one in the caller's directory.
    """

    name: str
    home: Path
    argv: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    mgmt: int = field(default_factory=free_port)
    """For the sidechannel, where the server has one."""
    pid: int = 0
    """The process that leads; after an upgrade, its successor."""
    start_s: float = 0.0
    """From exec to the first answer, and the processor time of that."""
    start_cpu_s: float = 0.0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def docroot(self) -> Path:
        return self.home / "docroot"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def require_alive(self) -> None:
        if self.has_ended(self.pid):
            raise PeerFailed(f"{self.name} has ended: {' '.join(self.argv)}\n{self.log_tail()}")

    def has_ended(self, pid: int) -> bool:
        if self._process is not None and pid == self._process.pid:
            return self._process.poll() is not None
        return not processes.is_alive(pid)

    def cpu_s(self) -> float:
        return processes.cpu_s(self.pid)

    def settled_memory(self) -> processes.Memory:
        """Return the memory of all processes once it has stopped changing."""
        seen: list[processes.Memory] = []

        def look() -> processes.Memory | None:
            seen.append(processes.memory(self.pid))
            # psutil reads for some 10 ms: a third of a second without a change.
            still = len(seen) > 30 and len({each.rss_bytes for each in seen[-30:]}) == 1
            return seen[-1] if still or len(seen) > 500 else None

        return wait_for(look, "the memory is read")

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Ask once. Raises: PeerFailed unless the answer keeps the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_LIMIT_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            if answer.will_close:
                raise PeerFailed(f"{self.name} closes after {method} {path}: {answer.status}")
            return answer.status, answer.read()
        finally:
            connection.close()

    def check(self, work: Workload) -> None:
        """Compare one answer byte by byte; wrk looks at statuses only. Raises: PeerFailed."""
        path, content = work.path(0), b"m" * work.size
        if work.method == "PUT":
            status, _ = self.request("PUT", path, content)
            stored = (self.docroot / path[1:]).read_bytes() if status in (201, 204) else b""
        else:
            status, stored = self.request("GET", path)
        if status // 100 != 2 or stored != content:
            raise PeerFailed(
                f"{self.name} answers {work.method} {path} with {status}: wrong bytes"
            )

    def connect_sidechannel(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.mgmt), _LIMIT_S)

    def log_text(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def log_tail(self) -> str:
        return self.log_text()[-_LOG_TAIL_BYTES:] or "(its log is empty)"

    def _start(self) -> None:
        with open(self.home / "log", "ab") as log, signals_deferred():
            began = time.monotonic()
            self._process = subprocess.Popen(
                self.argv,
                cwd=self.home,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; _stop() ends the whole session
            )
        self.pid = self._process.pid
        wait_for(self._answers, f"the first answer of {self.name}: {self.argv}")
        self.start_s = time.monotonic() - began
        self.start_cpu_s = self.cpu_s()

    def _answers(self) -> bool:
        self.require_alive()
        try:
            with socket.create_connection(("127.0.0.1", self.port), _LIMIT_S) as client:
                client.sendall(b"HEAD / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                return client.recv(5) == b"HTTP/"
        except (ConnectionRefusedError, ConnectionResetError):
            return False

    def _stop(self) -> None:
        """Ask the leaders to stop; kill what is left of the session after a while."""
        if self._process is None:
            return
        leader = self._process.pid
        family = processes.session(leader)
        try:
            for process in family.values():
                if _quietly(process.ppid) not in family:
                    _quietly(process.terminate)
            try:
                wait_for(lambda: all(map(self.has_ended, family)), "it has stopped", _STOP_LIMIT_S)
            except PeerFailed:
                pass  # what is left is killed
        finally:
            while family := processes.session(leader):
                for process in family.values():
                    _quietly(process.kill)
                self._process.poll()
            self._process.wait()
            self._process = None


def _quietly(call: Callable[[], _T]) -> _T | None:
    try:
        return call()
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True, slots=True)
class Peers:
    """Makes servers below `workdir`, each on ports of its own and with a copy of `content`.

    Not with links to the same files: a node keeps no file open that has two names. Where devices
    are given, their directories are linked instead, for servers that run one at a time.
    """

    workdir: Path
    content: Path
    node_command: Node
    nginx_binary: str = ""
    nginx_build: str = ""
    node_arguments: Sequence[str] = ()

    def node(
        self,
        name: str = NODE,
        *extra: str,
        mgmt: bool = False,
        devices: Path | None = None,
        command: Node | None = None,
    ) -> Peer:
        """A mogstored; `command` starts another one than that which is measured."""
        command = command or self.node_command
        peer = self._peer(name, devices)
        peer.environment |= command.environment
        peer.argv = [command.python, "-m", "mogstored", *_listening(peer)]
        peer.argv += [*self.node_arguments, *extra]
        if mgmt:
            peer.argv += ["--mgmtlisten", f"127.0.0.1:{peer.mgmt}"]
        return peer

    def nginx(
        self,
        name: str = NGINX,
        *,
        connections: int = 4096,
        workers: int = 1,
        aio: bool = False,
        devices: Path | None = None,
    ) -> Peer:
        peer = self._peer(name, devices)
        text = nginx_config.render(peer.home, peer.port, connections, workers, aio_threads=aio)
        text = nginx_config.without_absent_modules(text, self.nginx_build)
        (peer.home / "nginx.conf").write_text(text)
        peer.argv = [self.nginx_binary, "-p", str(peer.home), "-c", "nginx.conf"]
        return peer

    def cmogstored(
        self, binary: str, name: str = CMOGSTORED, *extra: str, devices: Path | None = None
    ) -> Peer:
        peer = self._peer(name, devices)
        peer.argv = [binary, *_listening(peer), *extra]
        return peer

    def _peer(self, name: str, devices: Path | None) -> Peer:
        peer = Peer(name, self.workdir / name.replace(" ", "-").replace(",", ""))
        if devices is None:
            shutil.copytree(self.content, peer.docroot)
        else:
            peer.docroot.mkdir(parents=True)
            for device in devices.iterdir():
                (peer.docroot / device.name).symlink_to(device)
        return peer


def _listening(peer: Peer) -> list[str]:
    return ["--docroot", str(peer.docroot), "--httplisten", f"127.0.0.1:{peer.port}"]
