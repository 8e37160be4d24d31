"""A node that is started, upgraded and killed; nothing that came of it outlives the `with`.

Processes are found by their session: it is shared by workers, by successors after an upgrade,
whose parent has ended, and by iostat, which has a process group of its own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import psutil

from bench import cpu
from bench.life.waiting import wait_for
from bench.peers import PeerFailed, child_environment, free_port

CONTENT = b"content"
PATH = "/dev1/file"
_REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
_STOP_LIMIT_S = 15.0
_LOG_TAIL_BYTES = 2000
_BEGUN = re.compile(r"upgrade begun by process (\d+)")


class Node:
    """One node on free ports, with a docroot and a log below `home`."""

    def __init__(
        self,
        home: Path,
        *extra: str,
        mgmt: bool = True,
        devices: int = 1,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.docroot = home / "docroot"
        self.http, self.mgmt = free_port(), free_port()
        self._log = home / "log"
        self._argv = [sys.executable, "-m", "mogstored", "--docroot", str(self.docroot)]
        self._argv += ["--httplisten", f"127.0.0.1:{self.http}", *extra]
        if mgmt:
            self._argv += ["--mgmtlisten", f"127.0.0.1:{self.mgmt}"]
        self._env = {**child_environment(), **(env or {})}
        for number in range(1, devices + 1):
            (self.docroot / f"dev{number}").mkdir(parents=True, exist_ok=True)
        self.file(PATH).write_bytes(CONTENT)
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        # From exec to the first answer: on the clock, and of processors.
        self.start_s = self.start_cpu_s = 0.0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The process that leads: after an upgrade, the new one."""
        return self._pid

    def file(self, path: str) -> Path:
        return self.docroot / path.lstrip("/")

    def manage(self) -> socket.socket:
        """A connection to the sidechannel."""
        return socket.create_connection(("127.0.0.1", self.mgmt), 30)

    def ask(self) -> int:
        """Have one request answered on a connection of its own; return its local port."""
        with socket.create_connection(("127.0.0.1", self.http), 30) as client:
            client.sendall(_REQUEST)
            answer = b""
            while piece := client.recv(4096):
                answer += piece
            if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(CONTENT)):
                raise PeerFailed(f"unexpected answer: {answer!r}")
            port: int = client.getsockname()[1]
            return port

    def begin_upgrade(self) -> int:
        """Ask for a successor; return its number once it serves. The old one goes on."""
        begun = len(_BEGUN.findall(self._log_text()))
        os.kill(self._pid, signal.SIGUSR2)
        numbers = wait_for(
            lambda: _BEGUN.findall(self._log_text())[begun:], "the upgrade is logged"
        )
        wait_for(lambda: f"mogstored[{numbers[0]}]: ready\n" in self._log_text(), "it is ready")
        return int(numbers[0])

    def retire(self, successor: int) -> None:
        """Stop the old process gracefully, and go on with `successor` when it has ended."""
        os.kill(self._pid, signal.SIGQUIT)
        wait_for(lambda: self._has_ended(self._pid), "the old process has ended")
        self._pid = successor

    def log_tail(self) -> str:
        return self._log_text()[-_LOG_TAIL_BYTES:] or "(its log is empty)"

    def _start(self) -> None:
        with self._log.open("ab") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._log.parent,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid = self._process.pid
        wait_for(self._answers, "the first answer of the node")
        self.start_s = time.monotonic() - began
        self.start_cpu_s = cpu.cpu_s(self._pid)

    def _answers(self) -> bool:
        try:
            self.ask()
        except ConnectionRefusedError:
            if self._has_ended(self._pid):
                raise PeerFailed(f"the node has ended: {self.log_tail()}") from None
            return False
        return True

    def _log_text(self) -> str:
        return self._log.read_text(errors="replace")

    def _has_ended(self, pid: int) -> bool:
        if self._process is not None and pid == self._process.pid:
            return self._process.poll() is not None
        return not _is_alive(pid)

    def _family(self) -> dict[int, psutil.Process]:
        """All live processes of the session."""
        assert self._process is not None
        found = {}
        for pid in psutil.pids():
            try:
                if os.getsid(pid) != self._process.pid:
                    continue
                process = psutil.Process(pid)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
            if _is_alive(pid):
                found[pid] = process
        return found

    def _end(self) -> None:
        """Ask those who lead; kill what is left after a while."""
        if self._process is None:
            return
        try:
            family = self._family()
            for process in family.values():
                if _parent(process) not in family:
                    _signal(process, signal.SIGTERM)
            try:
                wait_for(lambda: self._are_over(family), "the node has stopped", _STOP_LIMIT_S)
            except PeerFailed:
                pass  # what is left is killed
        finally:
            while family := self._family():
                for process in family.values():
                    _signal(process, signal.SIGKILL)
                self._process.poll()
            self._process.wait()

    def _are_over(self, pids: Iterable[int]) -> bool:
        return all(self._has_ended(pid) for pid in pids)


def _is_alive(pid: int) -> bool:
    """A zombie is not, whoever should reap it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
