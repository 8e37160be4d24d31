"""The pidfile of a real node: there while it runs, and never shared by two nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Node
from tests.support.processes import bystander
from tests.support.program import run
from tests.support.waiting import wait_until


@pytest.fixture
def pidfile(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def running(pidfile: Path) -> Iterator[Node]:
    with Node(extra=["--pidfile", str(pidfile)]) as node:
        yield node


def second_start(docroot: Path, pidfile: Path, *more: str) -> str:
    """Start a node that must refuse because of its pidfile; return its one line."""
    addrs = ["--httplisten=127.0.0.1:0", "--mgmtlisten=127.0.0.1:0"]
    ended = run([f"--docroot={docroot}", f"--pidfile={pidfile}", *addrs, *more])
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert list((docroot / "dev1").iterdir()) == []
    return line


def test_it_names_the_process(running: Node, pidfile: Path) -> None:
    assert pidfile.read_text() == f"{running.pid}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_is_removed_at_a_stop(pidfile: Path, number: signal.Signals) -> None:
    with Node(extra=["--pidfile", str(pidfile)]) as node:
        assert pidfile.exists()
        assert node.stop(number) == 0
        assert not pidfile.exists()


def test_relative_to_where_the_node_was_started(tmp_path: Path) -> None:
    name = os.path.relpath(tmp_path / "pid", "/")
    with Node(extra=["--pidfile", name]) as node:
        assert (tmp_path / "pid").read_text() == f"{node.pid}\n"
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize("more", [[], ["--daemonize"], ["--worker-processes=1"]])
def test_a_second_node_refuses_and_leaves_no_trace(
    running: Node, pidfile: Path, docroot: Path, more: list[str]
) -> None:
    line = second_start(docroot, pidfile, *more)
    assert line.startswith(f"mogstored: already running on PID: {running.pid} (")
    assert f"--docroot {running.docroot}" in line
    assert f"as pidfile {pidfile} says: stop that process, or remove the file" in line
    assert pidfile.read_text() == f"{running.pid}\n"


def test_any_process_that_has_started_the_node_will_do(pidfile: Path, docroot: Path) -> None:
    pidfile.write_text(f"{os.getpid()}")
    line = second_start(docroot, pidfile)
    assert line.startswith(f"mogstored: already running on PID: {os.getpid()} (")
    assert pidfile.read_text() == f"{os.getpid()}"


def test_what_names_a_process_that_is_no_node_is_taken_over(pidfile: Path) -> None:
    with bystander() as other:
        pidfile.write_text(f"{other.pid}\n")
        with Node(extra=["--pidfile", str(pidfile)]) as node:
            assert pidfile.read_text() == f"{node.pid}\n"
            node.wait_for_log(rf"pidfile {pidfile} is stale: PID {other.pid} \(sleep 600\)")


@pytest.mark.parametrize("content", ["", "garbage that is longer than a number\n", "9999999999"])
def test_pidfile_that_names_no_process_is_taken_over(pidfile: Path, content: str) -> None:
    pidfile.write_text(content)
    with Node(extra=["--pidfile", str(pidfile)]) as node:
        assert pidfile.read_text() == f"{node.pid}\n"


def test_after_a_kill_the_next_node_takes_over(pidfile: Path) -> None:
    with Node(extra=["--pidfile", str(pidfile)], checked=False) as node:
        killed = node.pid
        node.kill()
    assert pidfile.read_text() == f"{killed}\n"
    with Node(extra=["--pidfile", str(pidfile)]) as node:
        assert pidfile.read_text() == f"{node.pid}\n"


def test_a_node_leaves_alone_what_names_another(pidfile: Path) -> None:
    with Node(extra=["--pidfile", str(pidfile)]) as node:
        pidfile.write_text(f"{os.getpid()}\n")
        assert node.stop() == 0
    assert pidfile.read_text() == f"{os.getpid()}\n"


def test_it_names_the_master_and_no_worker_removes_it(pidfile: Path) -> None:
    with Node(extra=["--pidfile", str(pidfile), "--worker-processes=2"]) as node:
        assert pidfile.read_text() == f"{node.pid}\n"
        wait_until(lambda: len(node.process.children()) == 2, "two workers")
        worker = node.process.children()[0]
        worker.send_signal(signal.SIGQUIT)
        wait_until(lambda: not worker.is_running(), "the worker has ended")
        assert pidfile.read_text() == f"{node.pid}\n"
    assert not pidfile.exists()


def test_it_comes_from_a_config_file(tmp_path: Path, pidfile: Path) -> None:
    (tmp_path / "node.conf").write_text(f"pidfile = {pidfile}")
    with Node(extra=["-c", str(tmp_path / "node.conf")]) as node:
        assert pidfile.read_text() == f"{node.pid}\n"


def test_mode_is_left_to_the_umask(pidfile: Path) -> None:
    wrapper = ["sh", "-c", 'umask 027 && exec "$@"', "sh"]
    with Node(extra=["--pidfile", str(pidfile)], wrapper=wrapper):
        assert pidfile.stat().st_mode & 0o777 == 0o640
