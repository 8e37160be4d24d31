"""--daemonize: the caller gets the outcome of the start, and the node detaches."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.http import Client
from tests.support.processes import wait_for_the_end_of
from tests.support.program import run
from tests.support.waiting import PATIENCE_S, wait_until

ABSOLUTE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


class Detached:
    """A node that detached itself; found again through its pidfile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pidfile = path / "pid"
        (path / "docroot" / "dev1").mkdir(parents=True)

    def start(self, *more: str, wrapper: tuple[str, ...] = ()) -> None:
        """Start the node and wait until it has detached."""
        ended = run(self.arguments(*more), env=ABSOLUTE, cwd=self.path, wrapper=wrapper)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")

    def arguments(self, *more: str) -> list[str]:
        base = [f"--docroot={self.path}/docroot", f"--pidfile={self.pidfile}", "--daemonize"]
        return [*base, "--httplisten=127.0.0.1:0", *more]

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(int(self.pidfile.read_text()))

    def addresses(self) -> list[tuple[str, int]]:
        listening = [
            connection
            for connection in self.process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        return [(connection.laddr[0], connection.laddr[1]) for connection in listening]

    def stop(self) -> None:
        """Stop it gracefully and wait for its end."""
        process = self.process
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


@pytest.fixture
def detached(tmp_path: Path) -> Iterator[Detached]:
    node = Detached(tmp_path.resolve())
    yield node
    if node.pidfile.exists() and node.pidfile.read_text().strip():
        node.stop()


def test_the_caller_is_let_go_when_clients_may_come(detached: Detached) -> None:
    detached.start()
    (addr,) = detached.addresses()
    with Client(addr) as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_it_has_neither_terminal_nor_directory_nor_stdio_of_the_caller(
    detached: Detached,
) -> None:
    detached.start()
    process = detached.process
    assert process.cwd() == "/"
    assert process.terminal() is None
    assert os.getsid(process.pid) not in (os.getsid(0), process.pid)
    # run() has read stdout and stderr to their ends, so no process holds them.
    if os.path.isdir(f"/proc/{process.pid}/fd"):
        links = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in (0, 1, 2)]
        assert links == ["/dev/null"] * 3


def test_it_stops_gracefully_and_takes_its_pidfile_along(detached: Detached) -> None:
    detached.start()
    process = detached.process
    detached.stop()
    assert not process.is_running()
    assert not detached.pidfile.exists()


def test_umask_is_left_alone(detached: Detached) -> None:
    detached.start(wrapper=("sh", "-c", 'umask 027 && exec "$@"', "sh"))
    assert detached.pidfile.stat().st_mode & 0o777 == 0o640
    (addr,) = detached.addresses()
    with Client(addr) as client:
        request = b"PUT /dev1/1.fid HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
        assert client.request(request).status == 201
    assert (detached.path / "docroot/dev1/1.fid").stat().st_mode & 0o777 == 0o640


def test_with_workers_the_pidfile_names_the_master(detached: Detached) -> None:
    detached.start("--worker-processes=2")
    master = detached.process
    wait_until(lambda: len(master.children()) == 2, "two workers")
    workers = master.children()
    detached.stop()
    wait_for_the_end_of(workers)


def test_caller_that_ignores_the_end_of_children(detached: Detached) -> None:
    code = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    detached.start(wrapper=(sys.executable, "-c", code))
    assert detached.process.is_running()


def test_in_a_file_the_old_way(detached: Detached) -> None:
    file = detached.path / "node.conf"
    file.write_text(
        "daemonize = 1\nhttplisten = 127.0.0.1:0\n"
        f"docroot = {detached.path}/docroot\npidfile = {detached.pidfile}\n"
    )
    ended = run(["-c", str(file)], env=ABSOLUTE)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert detached.process.is_running()


def refusal(detached: Detached, *more: str, path: str | None = ABSOLUTE["PATH"]) -> list[str]:
    """Return the lines that a refused start prints."""
    ended = run(detached.arguments(*more), env={"PATH": path}, cwd=detached.path)
    assert ended.returncode == 1
    assert not detached.pidfile.exists()
    said = ended.stderr.splitlines()
    assert all(line.startswith("mogstored: ") for line in said)
    return [line.removeprefix("mogstored: ") for line in said]


def test_caller_sees_that_an_address_is_in_use(detached: Detached) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addr = f"127.0.0.1:{taken.getsockname()[1]}"
        (line,) = refusal(detached, f"--mgmtlisten={addr}")
    assert addr in line


def test_caller_sees_that_the_pidfile_cannot_be_made(detached: Detached) -> None:
    (line,) = refusal(detached, "--pidfile=/nowhere/pid")
    assert "/nowhere/pid" in line


def test_relative_paths_are_all_named(detached: Detached) -> None:
    (detached.path / "node.conf").write_text("# nothing\n")
    said = refusal(detached, "--docroot=docroot", "--pidfile=pid", "--config=node.conf")
    assert said == [
        "config=node.conf must use an absolute path",
        "docroot=docroot must use an absolute path",
        "pidfile=pid must use an absolute path",
        "relative paths are incompatible with --daemonize",
    ]


@pytest.mark.parametrize(
    ("path", "element"),
    [
        (":/usr/bin", ""),
        ("/usr/bin:", ""),
        ("/usr/bin::/bin", ""),
        (".:/bin", "."),
        ("/bin:.", "."),
    ],
)
def test_relative_elements_of_path(detached: Detached, path: str, element: str) -> None:
    first, last = refusal(detached, path=path)
    assert first == f"PATH environment contains relative path: {element}"
    assert "relative paths are incompatible with --daemonize" in last


def test_path_that_is_not_set(detached: Detached) -> None:
    first, _ = refusal(detached, path=None)
    assert "PATH" in first


def call_daemonize(then: str) -> subprocess.CompletedProcess[str]:
    """Detach a process that runs `then`; return its caller's status and output."""
    code = "from mogstored.process.supervision.daemonize import daemonize\n"
    code += f"ready = daemonize('prog')\n{then}"
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_caller_sees_an_end_before_the_report() -> None:
    ended = call_daemonize("")
    assert ended.returncode == 1
    assert ended.stderr.startswith("prog: ")
    assert ended.stderr.count("\n") == 1
    assert "syslog" in ended.stderr


def test_end_after_the_report_does_not_reach_the_caller() -> None:
    ended = call_daemonize("ready.report(); ready.report(); ready.close(); raise SystemExit(5)")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_buffered_output_is_written_once() -> None:
    code = "import sys\nfrom mogstored.process.supervision.daemonize import daemonize\n"
    code += "sys.stdout.write('once')\ndaemonize('prog').report()"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, timeout=PATIENCE_S, check=True
    )
    assert ended.stdout == b"once"


def test_caller_without_stdio(detached: Detached) -> None:
    """No socket may get the number of a standard stream."""
    detached.start(wrapper=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    (addr,) = detached.addresses()
    with Client(addr) as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
