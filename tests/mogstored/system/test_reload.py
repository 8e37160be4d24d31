"""SIGHUP: what a running node takes of a changed configuration, and what it says of the rest."""

from __future__ import annotations

import re
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import Node
from tests.support.forms import FORMS, WORKERS
from tests.support.http import Client, compose
from tests.support.processes import clients_of_all, pids_of, workers_of
from tests.support.program import run
from tests.support.puts import put
from tests.support.threads import Running
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# Each process that serves says so at the level debug.
WRONG = "tries a wrong Content-MD5 on "


class Reloaded:
    """A node with a configuration file that changes."""

    def __init__(self, path: Path, extra: Sequence[str], text: str = "") -> None:
        self.file = path / "node.conf"
        self.file.write_text(text or "log_level = info\n")
        self.node = Node(extra=["--config", str(self.file), *extra])

    def change(self, text: str | bytes) -> list[str]:
        """Change the file, send HUP, and return what was logged then."""
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)
        return self.hup()

    def hup(self) -> list[str]:
        """Send HUP; return what was logged until the last line that is due."""
        before = len(self.node.stderr_lines())
        self.node.send_signal(signal.SIGHUP)

        def said() -> list[str]:
            lines = [line.partition(": ")[2] for line in self.node.stderr_lines()[before:]]
            return [line.removeprefix("HUP: ") for line in lines if line.startswith("HUP: ")]

        # Followed by a stop of the log at the level error, for example.
        ends = ("unchanged: ", "the configuration has faults")
        wait_until(lambda: any(line.startswith(ends) for line in said()), "HUP was acted on")
        return said()

    def serving(self) -> set[int]:
        """Return the numbers of the processes that serve."""
        return pids_of(self.node) or {self.node.pid}

    def wait_for_debug_lines(self) -> None:
        """Return once each serving process has logged at the level debug."""

        def debugging() -> set[int]:
            self.try_a_wrong_digest()
            lines = [line for line in self.node.stderr_lines() if WRONG in line]
            return {int(found[1]) for line in lines if (found := re.search(r"\[(\d+)\]", line))}

        wait_until(lambda: self.serving() <= debugging(), "all log at the level debug")

    def try_a_wrong_digest(self) -> None:
        """As trackers do, which is news for developers only."""
        wrong = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="
        with Client(self.node.http) as client:
            client.request(put("/dev1/test-write/test-md5", b"x", wrong))


@FORMS
def test_new_level_applies_in_all_processes(tmp_path: Path, extra: list[str]) -> None:
    reloaded = Reloaded(tmp_path, extra)
    with reloaded.node:
        assert reloaded.change("log_level = debug\n")[0] == "applied: log_level = debug"
        reloaded.wait_for_debug_lines()
        # Said once, by the process that leads.
        applied = [line for line in reloaded.node.stderr_lines() if "HUP: applied" in line]
        assert len(applied) == 1
        assert f"[{reloaded.node.pid}]" in applied[0]


def test_worker_that_replaces_another_has_what_was_applied(tmp_path: Path) -> None:
    reloaded = Reloaded(tmp_path, WORKERS)
    with reloaded.node as node:
        reloaded.change("log_level = debug\n")
        for worker in workers_of(node):
            worker.kill()
            node.wait_for_log(f"replaces PID:{worker.pid}, ")
        wait_until(lambda: len(pids_of(node)) == 2, "new workers")
        reloaded.wait_for_debug_lines()


def test_less_is_logged_after_the_line_that_says_so(tmp_path: Path) -> None:
    reloaded = Reloaded(tmp_path, [])
    with reloaded.node as node:
        assert reloaded.change("log_level = error\n")[0] == "applied: log_level = error"
        before = len(node.stderr_lines())
        node.send_signal(signal.SIGHUP)
        node.send_signal(signal.SIGTERM)
        assert node.wait() == 0
        # Neither the HUP nor the stop.
        assert node.stderr_lines()[before:] == []


@FORMS
def test_nothing_has_changed(tmp_path: Path, extra: list[str]) -> None:
    reloaded = Reloaded(tmp_path, extra)
    with reloaded.node:
        (line,) = reloaded.hup()
        assert line.startswith("unchanged: ")
        assert {"log_level", "access_log"} <= set(line.removeprefix("unchanged: ").split(", "))


@FORMS
def test_what_needs_an_upgrade_is_named_and_left(tmp_path: Path, extra: list[str]) -> None:
    reloaded = Reloaded(tmp_path, extra)
    with reloaded.node as node:
        said = reloaded.change(
            "log_level = warning\nmaxconns = 5000\nrequire_mount = yes\nstop_timeout = 9\n"
        )
        assert said[0] == "applied: log_level = warning"
        (refused,) = (line for line in said if line.startswith("not applied"))
        assert refused.startswith("not applied before an upgrade (USR2): ")
        for line in ("maxconns = 5000", "require_mount = yes", "stop_timeout = 9"):
            assert line in refused
        # With require_mount, a device on the file system of the docroot fails.
        node.write("/dev1/file", b"content")
        with Client(node.http) as client:
            assert client.request(compose("GET", "/dev1/file")).status == 200


@FORMS
def test_file_with_faults_changes_nothing(tmp_path: Path, extra: list[str]) -> None:
    reloaded = Reloaded(tmp_path, extra)
    with reloaded.node as node:
        said = reloaded.change("log_level = loud\nmaxconns = x\ncolour = red\nhttplisten = foo\n")
        assert said[-1] == "the configuration has faults: nothing of it was applied"
        for fault in (
            f"{reloaded.file}:1: log_level = loud: not one of ",
            f"{reloaded.file}:2: maxconns = x: ",
            f"WARNING: {reloaded.file}:3: unknown key 'colour'",
            f"{reloaded.file}:4: httplisten = foo: ",
        ):
            assert any(line.startswith(fault) for line in said), (fault, said)
        with Client(node.http) as client:
            assert client.request(compose("GET", "/")).status == 200
        # Once it is mended, it applies.
        assert reloaded.change("log_level = debug\n")[0] == "applied: log_level = debug"


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfel\0o\0g\0", b"log_level = \xe9\xff\0\n"], ids=["empty", "16", "odd"]
)
def test_file_that_is_none_changes_nothing(tmp_path: Path, content: bytes) -> None:
    reloaded = Reloaded(tmp_path, [])
    with reloaded.node as node:
        said = reloaded.change(content)
        assert said[-1] == "the configuration has faults: nothing of it was applied"
        reloaded.file.unlink()
        said = reloaded.hup()
        assert any("No such file or directory (ENOENT)" in line for line in said)
        assert node.is_running()


def test_warning_is_a_fault_if_strict(tmp_path: Path) -> None:
    for strict in ([], ["--strict"]):
        reloaded = Reloaded(tmp_path, strict)
        with reloaded.node:
            said = reloaded.change("log_level = debug\ncolour = red\n")
            assert "unknown key 'colour'" in said[0]
            assert ("applied: log_level = debug" in said) is not bool(strict)


def test_command_line_still_counts_for_more(tmp_path: Path) -> None:
    reloaded = Reloaded(tmp_path, ["--log-level=info"])
    with reloaded.node:
        (line,) = reloaded.change("log_level = debug\n")
        assert line.startswith("unchanged: ")


@FORMS
def test_requests_do_not_notice(tmp_path: Path, extra: list[str]) -> None:
    """Also of the connections that are open all the time."""
    reloaded = Reloaded(tmp_path, extra)
    with reloaded.node as node:
        node.write("/dev1/file", b"content")
        is_over = threading.Event()

        def ask_on() -> set[int]:
            with Client(node.http) as client:
                statuses = {client.request(compose("GET", "/dev1/file")).status}
                while not is_over.is_set():
                    statuses.add(client.request(compose("GET", "/dev1/file")).status)
                return statuses

        clients = [Running(ask_on) for _ in range(8)]
        try:
            for number in range(20):
                level = ("debug", "info")[number % 2]
                assert reloaded.change(f"log_level = {level}\n")[0] == (
                    f"applied: log_level = {level}"
                )
        finally:
            is_over.set()
        assert [client.result() for client in clients] == [{200}] * 8


def test_signals_that_come_at_once(tmp_path: Path) -> None:
    reloaded = Reloaded(tmp_path, WORKERS)
    with reloaded.node as node:
        for _ in range(100):
            node.send_signal(signal.SIGHUP)
        reloaded.change("log_level = debug\n")
        reloaded.wait_for_debug_lines()


@FORMS
def test_access_log_is_begun_moved_and_ended(tmp_path: Path, extra: list[str]) -> None:
    reloaded = Reloaded(tmp_path, extra)
    log = tmp_path / "access.log"

    def ask_all(target: str) -> None:
        with ExitStack() as stack:
            for client in all_clients(reloaded, stack):
                client.request(compose("GET", target))

    def wait_for_lines(path: Path, name: str) -> None:
        """Ask all processes, until requests to each are in the log: workers hear of it later."""
        targets: list[str] = []

        def are_there() -> bool:
            targets.append(f"/dev1/{name}/{len(targets)}")
            ask_all(targets[-1])
            text = path.read_text() if path.exists() else ""
            return any(text.count(f"{each} ") == len(reloaded.serving()) for each in targets)

        wait_until(are_there, "requests to each process are logged")

    with reloaded.node:
        assert reloaded.change(f"access_log = {log}\n")[0] == f"applied: access_log = {log}"
        wait_until(log.exists, "the log is there")
        wait_for_lines(log, "first")
        # As programs that rotate logs do it.
        moved = log.rename(tmp_path / "access.log.1")
        reloaded.hup()
        wait_until(log.exists, "a new log is there")
        wait_for_lines(log, "second")
        assert reloaded.change("log_level = info\n")[0] == "applied: no access_log"
        assert reloaded.change(f"access_log = {moved}\n")[0] == f"applied: access_log = {moved}"
        wait_for_lines(moved, "fourth")


def all_clients(reloaded: Reloaded, stack: ExitStack) -> Iterable[Client]:
    """Return a client of each process that serves."""
    if reloaded.serving() == {reloaded.node.pid}:
        return [stack.enter_context(Client(reloaded.node.http))]
    return stack.enter_context(clients_of_all(reloaded.node)).values()


def test_daemon_finds_its_file_again(tmp_path: Path) -> None:
    """It stands in another directory than its caller did."""
    (tmp_path / "docroot" / "dev1").mkdir(parents=True)
    file, log = tmp_path / "node.conf", tmp_path / "access.log"
    text = f"docroot = {tmp_path}/docroot\npidfile = {tmp_path}/pid\nhttplisten = 127.0.0.1:0\n"
    file.write_text(text)
    ended = run(["--daemonize", "-c", str(file)], env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    process = psutil.Process(int((tmp_path / "pid").read_text()))
    try:
        file.write_text(f"{text}access_log = {log}\n")
        process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "the access log is there")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
