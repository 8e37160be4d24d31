"""SIGUSR2 while a disk hangs, or while the start of the new program does."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from tests.support.daemon import Node
from tests.support.forms import SMALL_FORMS
from tests.support.http import GET_ROOT, Client, ask, compose
from tests.support.processes import is_gone, workers_of
from tests.support.slow_disk import node_with_slow_disk, slow_disk
from tests.support.upgrades import free_address, generations
from tests.support.waiting import wait_until

SIZE = 16 << 20


def new_of(node: Node) -> int:
    line = node.wait_for_log(r"upgrade started: process \d+")
    return int(line.rpartition(" ")[2])


@SMALL_FORMS
def test_files_of_a_disk_whose_close_hangs_do_not_hold_the_new_one_up(
    tmp_path: Path, extra: list[str]
) -> None:
    host, port = free_address()
    options = [f"--httplisten={host}:{port}", "--stop-timeout=1", *extra]
    with node_with_slow_disk(tmp_path / "disk", extra=options, http=False, checked=False) as (
        node,
        disk,
    ):
        node.write("/dev2/large", b"x" * SIZE)
        with Client((host, port)) as client:
            client.send(compose("GET", "/dev2/large"))
            client.read_head()
            disk.hang("flush")
            node.send_signal(signal.SIGUSR2)
            new = new_of(node)
            node.wait_for_log(rf"mogstored\[{new}\]: ready$")
            assert ask((host, port), GET_ROOT).status == 200
            node.send_signal(signal.SIGQUIT)
            node.wait_for_log(rf"mogstored\[{node.pid}\]: stopping$")
        assert ask((host, port), GET_ROOT).status == 200
        disk.release()
        psutil.Process(new).send_signal(signal.SIGQUIT)
        wait_until(lambda: is_gone(new) and is_gone(node.pid), "both have ended")


@SMALL_FORMS
def test_stop_comes_before_a_start_that_hangs(tmp_path: Path, extra: list[str]) -> None:
    pidfile = tmp_path / "pid"
    options = [f"--pidfile={pidfile}", *extra]
    with slow_disk(tmp_path / "disk") as disk:
        # The new process begins in the directory of the start.
        in_disk = ["sh", "-c", 'cd "$0" && exec "$@"', str(disk.path)]
        with Node(extra=options, wrapper=in_disk, checked=False) as node:
            disk.hang()
            node.send_signal(signal.SIGUSR2)
            disk.wait_until_held(1)
            assert ask(node.http, GET_ROOT).status == 200
            node.send_signal(signal.SIGUSR2)
            node.wait_for_log("upgrade is already running: its process is being started")
            assert node.stop() == 0
            assert not pidfile.exists()
            assert not any("upgrade started" in line for line in node.stderr_lines())
            disk.release()


def test_launcher_that_was_killed_is_reported(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with generations(pidfile=pidfile) as old:
        (launcher,) = old.node.process.children()
        launcher.kill()
        wait_until(lambda: is_gone(launcher.pid), "it has ended")
        old.send(signal.SIGUSR2)
        old.node.wait_for_log("no upgrade: cannot start .*: the launcher process has ended")
        wait_until(lambda: old.pid_in_file() == old.node.pid, "the pidfile is taken back")
        wait_until(lambda: old.pid_in_file(".oldbin") is None, ".oldbin is removed")
        assert ask(old.addr, GET_ROOT).status == 200


def test_launcher_holds_nothing_and_is_no_more_than_needed() -> None:
    with Node(mgmt=True) as node:
        (launcher,) = node.process.children()
        assert launcher.name() == "mogstored-start"
        assert "mogstored: launcher: " in " ".join(launcher.cmdline())
        assert launcher.net_connections(kind="inet") == []
        assert [file for file in launcher.open_files() if str(node.docroot) in file.path] == []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
            launcher.send_signal(number)
        assert ask(node.http, GET_ROOT).status == 200
        assert not is_gone(launcher.pid)
    with generations(extra=["--worker-processes=1"]) as old:
        assert len(old.node.process.children()) == 1
        new = old.upgrade()
        assert len(old.node.process.children()) == 2
        old.send(signal.SIGQUIT, new)
        old.node.wait_for_log("upgrade ended")
        wait_until(lambda: old.node.process.children() == workers_of(old.node), "it has ended")


def test_launcher_ends_with_a_node_that_is_killed() -> None:
    with Node(checked=False) as node:
        (launcher,) = node.process.children()
        node.process.kill()
        wait_until(lambda: is_gone(launcher.pid), "the launcher has ended")
