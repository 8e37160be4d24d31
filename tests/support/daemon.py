"""The node as a process of its own: start it, follow what it logs, stop it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from tests.support.sockets import refuses
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

Address = tuple[str, int]

START_S = STOP_S = PATIENCE_S

_LISTENING = re.compile(r"listening for (http|httpget|mgmt|admin) on ([0-9.]+):([0-9]+)(?:\"})?$")
# As text or as JSON.
_READY = re.compile(r"(?:\]: |\"message\": \")ready(?:\"})?$")
_RUN = "\nimport runpy; runpy.run_module('mogstored', run_name='__main__', alter_sys=True)"
_ANY_PORT = "127.0.0.1:0"
# A node that logs without an end must not take the memory of its tests.
_MAX_LINES = 200_000
_SHOWN_LINES = 1000


class Node:
    """A running node with a document root of its own, on ports that the system chose.

    Leaving the `with` block stops it gracefully and checks that it ended well: status 0,
    no child process left, no traceback in its log.

    `nofile` is the limit of open files it starts under, `wrapper` a command put before its
    command line (such as `setpriv ...`), which has to replace itself with the node.
    `pass_fds` are descriptors it inherits under the same numbers.
    `names_docroot=False` leaves the option out, for a docroot in a config file.
    `injected` is code that the process runs before the program, each time it is started.
    `checked=False` leaves out the checks at the end, for a node that is meant to end badly.
    """

    def __init__(
        self,
        *,
        devices: Sequence[str] = ("dev1", "dev2"),
        http: bool = True,
        httpget: bool = False,
        mgmt: bool = False,
        admin: bool = False,
        extra: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        maxconns: int | None = None,
        nofile: int | None = None,
        wrapper: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        checked: bool = True,
        names_docroot: bool = True,
        injected: str = "",
    ) -> None:
        self.docroot = Path(tempfile.mkdtemp(prefix="mogstored-test-")).resolve()
        self.docroot.chmod(0o755)
        for device in devices:
            (self.docroot / device).mkdir()
        program = ["-c", injected + _RUN] if injected else ["-m", "mogstored"]
        self._command = [sys.executable, "-P", *program]
        if names_docroot:
            self._command += ["--docroot", str(self.docroot)]
        wanted_listeners = {"http": http, "httpget": httpget, "mgmt": mgmt, "admin": admin}
        for option, wanted in wanted_listeners.items():
            if wanted:
                self._command += [f"--{option}listen", _ANY_PORT]
        if maxconns is not None:
            self._command += ["--maxconns", str(maxconns)]
        self._command += extra
        self._command[:0] = wrapper
        if nofile is not None:
            self._command[:0] = ["sh", "-c", f'ulimit -n {nofile} && exec "$@"', "sh"]
        self._env = {**os.environ, **(env or {})}
        self._pass_fds = pass_fds
        self._checked = checked
        self._process: subprocess.Popen[str] | None = None
        self._log = _Log()
        self._listeners: dict[str, Address] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd="/",
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
            pass_fds=self._pass_fds,
        )
        self._log.follow(self._process)
        try:
            self._log.wait(_READY, START_S)
        except BaseException:
            self.kill()
            self._clean_up()
            raise
        for line in self._log.lines():
            if found := _LISTENING.search(line):
                self._listeners[found[1]] = (found[2], int(found[3]))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # A failed test shows its own failure, not one of the stop after it.
            if error is not None or not self._checked:
                self.kill()
            else:
                self._stop_and_check()
        finally:
            self._clean_up()

    @property
    def pid(self) -> int:
        """The process that was started: the node, or its master."""
        return self._running().pid

    @property
    def process(self) -> psutil.Process:
        """The same process, for its threads, descriptors and children."""
        return psutil.Process(self.pid)

    @property
    def http(self) -> Address:
        """Where HTTP is served with all methods."""
        return self._listeners["http"]

    @property
    def httpget(self) -> Address | None:
        """Where HTTP is served for reading only; None when that was not asked for."""
        return self._listeners.get("httpget")

    @property
    def mgmt(self) -> Address | None:
        """Where the sidechannel is; None when it was not asked for."""
        return self._listeners.get("mgmt")

    @property
    def admin(self) -> Address:
        """Where the node shows itself."""
        return self._listeners["admin"]

    def addresses(self, kind: str) -> list[Address]:
        """List what is listened on for `http`, `httpget` or `mgmt`, in the order of the log."""
        found = (_LISTENING.search(line) for line in self._log.lines())
        return [(it[2], int(it[3])) for it in found if it and it[1] == kind]

    def path(self, target: str) -> Path:
        """Return the file that the request target `/dev1/...` stands for."""
        return self.docroot / target.lstrip("/")

    def write(self, target: str, content: bytes) -> Path:
        """Write the file of `target` directly, without the node."""
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def open_files(self) -> list[str]:
        """Return what the node has open below its docroot except directories; on Linux only."""
        found = []
        for process in [self.process, *self.process.children(recursive=True)]:
            folder = Path(f"/proc/{process.pid}/fd")
            for link in folder.iterdir() if folder.exists() else ():
                with suppress(FileNotFoundError):
                    path = link.readlink()
                    if path.is_relative_to(self.docroot) and not path.is_dir():
                        found.append(str(path))
        return found

    def stderr_lines(self) -> list[str]:
        """Return what was logged so far, without line ends."""
        return self._log.lines()

    def wait_for_log(self, pattern: str, timeout: float = PATIENCE_S) -> str:
        """Return the first logged line in which `pattern` is found, waiting for it."""
        return self._log.wait(re.compile(pattern), timeout)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal and return at once."""
        self._running().send_signal(number)

    def begin_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait until all ports but the admin listener's refuse connections."""
        self.send_signal(number)
        for addr in (addr for kind, addr in self._listeners.items() if kind != "admin"):
            wait_until(partial(refuses, addr), "connecting is refused")

    def stop(self, sig: signal.Signals = signal.SIGTERM, timeout: float = STOP_S) -> int:
        """Stop the node and return its exit status; one that has ended is only asked for it."""
        process = self._running()
        if process.poll() is None:
            process.send_signal(sig)
        return self.wait(timeout)

    def wait(self, timeout: float = STOP_S) -> int:
        """Return the exit status of a node that is ending by itself."""
        try:
            return self._running().wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s\n{self._log}") from None

    def is_running(self) -> bool:
        """Say whether the started process is alive."""
        return self._running().poll() is None

    def kill(self) -> None:
        """Kill the node and its children."""
        process = self._running()
        if process.poll() is None:
            # The group is ours alone: the process was started as the leader of a session.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the node was not started"
        return self._process

    def _stop_and_check(self) -> None:
        family = self.process.children(recursive=True) if self.is_running() else []
        try:
            status = self.stop()
        except AssertionError:
            self.kill()
            raise
        _, left = psutil.wait_procs(family, timeout=STOP_S)
        for process in left:
            process.kill()
        self._log.join()
        assert status == 0, f"ended with status {status}\n{self._log}"
        assert not left, f"left running: {left}\n{self._log}"
        assert not any("Traceback" in line for line in self._log.lines()), str(self._log)

    def _clean_up(self) -> None:
        self._log.join()
        process = self._running()
        if process.stderr is not None:
            process.stderr.close()
        shutil.rmtree(self.docroot, ignore_errors=True)


class _Log:
    """The lines of a process's stderr, collected by a thread.

    **Threads:** `_lines` and `_ended` are guarded by `_news`.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def __str__(self) -> str:
        return "\n".join(["its log:", *self.lines()[-_SHOWN_LINES:]])

    def follow(self, process: subprocess.Popen[str]) -> None:
        self._thread = threading.Thread(target=self._collect, args=(process,), daemon=True)
        self._thread.start()

    def lines(self) -> list[str]:
        with self._news:
            return list(self._lines)

    def wait(self, pattern: re.Pattern[str], timeout: float) -> str:
        deadline = time.monotonic() + timeout
        with self._news:
            seen = 0
            while True:
                for line in self._lines[seen:]:
                    if pattern.search(line):
                        return line
                seen = len(self._lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._news.wait(left)
        why = "the process ended" if self._ended else f"not within {timeout} s"
        raise AssertionError(f"nothing logged that matches {pattern.pattern!r}: {why}\n{self}")

    def join(self) -> None:
        """Wait until the process and all that share its stderr have closed it."""
        if self._thread is not None:
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive(), f"stderr is still held open\n{self}"

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._news:
                if len(self._lines) < _MAX_LINES:
                    self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
