"""Where the access log goes: rotation, full and hung disks, readers that are gone, refusals."""

from __future__ import annotations

import os
import re
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.support.access_lines import parse_combined
from tests.support.daemon import Node
from tests.support.disks import small_disk
from tests.support.forms import FORMS, SMALL_FORMS
from tests.support.http import Client, ask, compose
from tests.support.privileges import unprivileged
from tests.support.program import run
from tests.support.puts import wait_until_begun
from tests.support.slow_disk import slow_disk
from tests.support.threads import Running
from tests.support.waiting import wait_until


def numbers(*paths: Path) -> list[int]:
    """Return the numbers in the targets of all lines."""
    lines = [line for path in paths for line in path.read_text().splitlines(keepends=True)]
    assert all(line.endswith("\n") for line in lines)
    return [int(parse_combined(line[:-1])["request"].split()[1][6:]) for line in lines]


class Load:
    """Requests for /dev1/0, /dev1/1 and so on, by a few clients, until it is stopped."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.sent: list[int] = []
        self._ends = False

    def run(self, first: int) -> None:
        with Client(self._node.http) as client:
            for number in range(first, first + 10**6):
                assert client.request(compose("GET", f"/dev1/{number}")).status == 404
                self.sent.append(number)
                if self._ends:
                    return

    def stop(self) -> None:
        self._ends = True


@FORMS
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP], ids=lambda it: it.name)
def test_rotation_under_load_loses_nothing(
    tmp_path: Path, extra: list[str], number: signal.Signals
) -> None:
    path = tmp_path / "access.log"
    rotated = [tmp_path / f"access.log.{count}" for count in range(3)]
    with Node(extra=[f"--access-log={path}", *extra]) as node:
        load = Load(node)
        clients = [Running(partial(load.run, first)) for first in (0, 10**6, 2 * 10**6)]
        for old in rotated:
            begun = len(load.sent)
            wait_until(lambda: path.exists() and len(load.sent) > begun + 50, "requests")  # noqa: B023
            path.rename(old)
            node.send_signal(number)
            wait_until(path.exists, "there is a new file")
        load.stop()
        for client in clients:
            client.result()
    assert sorted(numbers(path, *rotated)) == sorted(load.sent)
    assert path.stat().st_mode & 0o777 == 0o640


def test_all_workers_go_on_in_the_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "old"
    with Node(extra=[f"--access-log={path}", "--worker-processes=2"]) as node:
        path.rename(old)
        node.send_signal(signal.SIGUSR1)

        def open_files() -> list[str]:
            return [it.path for child in node.process.children() for it in child.open_files()]

        def have_gone_on() -> bool:
            files = open_files()
            return files.count(str(path)) == 2 and str(old) not in files

        wait_until(have_gone_on, "both workers have the new one open, and not the old one")


def test_file_is_reopened_while_the_node_stops(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "old"
    with Node(extra=[f"--access-log={path}"]) as node:
        with Client(node.http) as client:
            client.send(compose("PUT", "/dev1/7", "Content-Length: 2") + b"1")
            wait_until_begun(node, "/dev1/7")
            node.begin_stop()
            path.rename(old)
            node.send_signal(signal.SIGUSR1)
            wait_until(path.exists, "there is a new file")
            client.send(b"2")
            assert client.read_response().status == 201
        assert node.wait() == 0
    assert numbers(path) == [7]


def test_path_that_cannot_be_opened_again(tmp_path: Path) -> None:
    directory, moved = tmp_path / "logs", tmp_path / "moved"
    directory.mkdir()
    path = directory / "access.log"
    with Node(extra=[f"--access-log={path}"]) as node:
        directory.rename(moved)
        node.send_signal(signal.SIGUSR1)
        node.wait_for_log(rf"cannot open {path} again: No such file or directory \(ENOENT\);")
        ask(node.http, compose("GET", "/dev1/1"))
    assert numbers(moved / "access.log") == [1]


@SMALL_FORMS
def test_full_disk(tmp_path: Path, extra: list[str]) -> None:
    with small_disk(tmp_path / "small", "size=8k"):
        path = tmp_path / "small" / "access.log"
        with Node(extra=[f"--access-log={path}", *extra]) as node, Client(node.http) as client:
            for number in range(200):
                assert client.request(compose("GET", f"/dev1/{number}")).status == 404
        text = path.read_text()
        written = len(text.splitlines()) - (not text.endswith("\n"))
        lost = 200 - written
        assert 0 < lost < 200
        said = f"access log {path}: {lost} lines were lost: No space left on device (ENOSPC)"
        assert any(line.endswith(said) for line in node.stderr_lines())


def test_disk_that_hangs(tmp_path: Path) -> None:
    with slow_disk(tmp_path / "disk") as disk:
        path = disk.path / "access.log"
        node = Node(extra=[f"--access-log={path}"])
        try:
            with node:
                ask(node.http, compose("GET", "/dev1/1"))
                wait_until(lambda: path.stat().st_size, "the line is written")
                disk.hang("write", "open", "create", "release")
                for number in range(2, 200):
                    assert ask(node.http, compose("GET", f"/dev1/{number}")).status == 404
                disk.wait_until_held(1, "write")
                node.send_signal(signal.SIGUSR1)
                assert ask(node.http, compose("GET", "/dev1/200")).status == 404
                node.begin_stop()
                # The main thread has ended; the system waits for the other.
                wait_until(lambda: node.process.status() == "zombie", "the node ends")
                disk.release()
        finally:
            disk.release()
        (said,) = [line for line in node.stderr_lines() if "lines were lost" in line]
        assert re.search(
            r"access log \S+: \d+ lines were lost: it is not taken fast enough$", said
        )


def test_stdout_gets_lines(tmp_path: Path) -> None:
    path = tmp_path / "out"
    wrapper = ["sh", "-c", f'exec "$@" >{path}', "sh"]
    with Node(extra=["--access-log=-"], wrapper=wrapper) as node:
        ask(node.http, compose("GET", "/dev1/1"))
        node.send_signal(signal.SIGUSR1)
        ask(node.http, compose("GET", "/dev1/2"))
    assert numbers(path) == [1, 2]


@SMALL_FORMS
def test_stdout_that_is_closed(extra: list[str]) -> None:
    wrapper = ["sh", "-c", 'exec "$@" >&-', "sh"]
    with Node(extra=["--access-log=-", *extra], wrapper=wrapper) as node:
        assert ask(node.http, compose("GET", "/dev1/1")).status == 404


@SMALL_FORMS
def test_stdout_without_a_reader(extra: list[str]) -> None:
    reader, writer = os.pipe()
    wrapper = ["sh", "-c", f'exec "$@" >/dev/fd/{writer}', "sh"]
    with Node(extra=["--access-log=-", *extra], wrapper=wrapper, pass_fds=[writer]) as node:
        os.close(writer)
        os.close(reader)
        for number in range(10):
            assert ask(node.http, compose("GET", f"/dev1/{number}")).status == 404
        node.wait_for_log(r"access log -: \d+ lines were lost: Broken pipe \(EPIPE\)$")


@FORMS
def test_stdout_whose_reader_is_slow(extra: list[str]) -> None:
    """A pipe gets the lines of all workers whole; what does not fit is lost at the stop."""
    count = 1500
    reader, writer = os.pipe()
    wrapper = ["sh", "-c", f'exec "$@" >/dev/fd/{writer}', "sh"]
    with os.fdopen(reader) as file:
        node = Node(extra=["--access-log=-", *extra], wrapper=wrapper, pass_fds=[writer])
        with node:
            os.close(writer)
            for first in range(0, count, 100):
                with Client(node.http) as client:
                    for number in range(first, first + 100):
                        client.request(compose("GET", f"/dev1/{number}"))
        lines = file.read().splitlines()
    written = {parse_combined(line)["request"] for line in lines}
    said = "\n".join(node.stderr_lines())
    lost = sum(map(int, re.findall(r"access log -: (\d+) lines were lost", said)))
    assert len(written) == len(lines) == count - lost < count


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/log", "No such file or directory (ENOENT)"),
        ("", "Is a directory (EISDIR)"),
        ("file/log", "Not a directory (ENOTDIR)"),
    ],
)
def test_path_that_cannot_be_opened_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / name
    options = [f"--docroot={tmp_path}", "--httplisten=127.0.0.1:0", f"--access-log={path}"]
    checked = run(["--check-config", *options])
    assert checked.returncode == 1
    assert f"mogstored: access_log = {path}: {reason}" in checked.stderr
    started = run(options)
    assert started.returncode == 1
    assert f"mogstored: cannot open access_log {path}: {reason}" in started.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"]


def test_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    options = ["--docroot=/", "--httplisten=127.0.0.1:0", "--access-log=/proc/1/log"]
    checked = run(["--check-config", *options], wrapper=unprivileged())
    assert checked.returncode == 1
    assert "mogstored: access_log = /proc/1/log: " in checked.stderr


def test_check_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    options = [f"--docroot={tmp_path}", "--httplisten=127.0.0.1:0", f"--access-log={path}"]
    checked = run(["--check-config", *options])
    assert checked.returncode == 0
    assert f"access_log = {path}\naccess_log_format = combined\n" in checked.stdout
    assert not path.exists()


@pytest.mark.parametrize("path", ["access.log", "./syslog", "-"])
def test_daemon_needs_an_absolute_path(tmp_path: Path, path: str) -> None:
    for options in (["--check-config"], []):
        ended = run(
            [
                *options,
                "-d",
                f"--docroot={tmp_path}",
                "--httplisten=127.0.0.1:0",
                "--access-log",
                path,
            ],
            cwd=tmp_path,
        )
        assert ended.returncode == 1
        assert f"mogstored: access_log={path} must use an absolute path" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_format_is_one_of_two(tmp_path: Path) -> None:
    ended = run(["--check-config", f"--docroot={tmp_path}", "--access-log-format=common"])
    assert ended.returncode == 1
    assert "--access-log-format=common: not one of combined, json" in ended.stderr


def test_fifo_without_a_reader_is_refused(tmp_path: Path) -> None:
    """The open would wait for one."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    options = [f"--docroot={tmp_path}", "--httplisten=127.0.0.1:0", f"--access-log={path}"]
    for each in (["--check-config"], []):
        ended = run([*each, *options])
        assert ended.returncode == 1
        assert "(ENXIO)" in ended.stderr


def test_syslog_that_is_not_read(tmp_path: Path) -> None:
    """Neither requests nor the stop wait for it."""
    path = tmp_path / "syslog"
    injected = f"import mogstored.log.sinks as sinks; sinks._SYSLOG_SOCKETS = ({str(path)!r},)"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        node = Node(extra=["--access-log=syslog"], injected=injected)
        with node, Client(node.http) as client:
            for number in range(500):
                assert client.request(compose("GET", f"/dev1/{number}")).status == 404
        received = []
        sock.setblocking(False)
        try:
            while message := sock.recv(5000):
                received.append(message)
        except BlockingIOError:
            pass
    assert all(re.match(rb"<30>mogstored-access\[\d+\]: 127\.0\.0\.1 - - ", it) for it in received)
    said = "\n".join(node.stderr_lines())
    (lost,) = re.findall(r"access log syslog: (\d+) lines were lost: it is not taken", said)
    assert len(received) + int(lost) == 500


def test_lost_lines_are_counted_for_metrics(tmp_path: Path) -> None:
    """Also those of a log that was replaced."""
    with small_disk(tmp_path / "small", "size=8k"):
        config = tmp_path / "node.conf"
        config.write_text(f"access_log = {tmp_path}/small/access.log\n")
        options = ["--adminlisten=127.0.0.1:0", f"--config={config}"]
        with Node(extra=options) as node:
            said = node.wait_for_log(r"listening for admin on 127\.0\.0\.1:\d+")
            admin = ("127.0.0.1", int(said.rpartition(":")[2]))

            def dropped() -> int:
                text = ask(admin, compose("GET", "/metrics")).body.decode()
                (count,) = re.findall(r"(?m)^mogstored_access_log_dropped_total (\d+)", text)
                return int(count)

            assert dropped() == 0
            with Client(node.http) as client:
                for number in range(200):
                    client.request(compose("GET", f"/dev1/{number}"))
            config.write_text("log_level = info\n")
            node.send_signal(signal.SIGHUP)
            said = node.wait_for_log(r"access log \S+: \d+ lines were lost")
            (lost,) = re.findall(r": (\d+) lines were lost", said)
            assert dropped() == int(lost)
