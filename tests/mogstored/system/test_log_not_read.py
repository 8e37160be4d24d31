"""A node whose log is not read: it starts, serves, stops and detaches as usual."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import START_S, STOP_S
from tests.support.forms import SMALL_FORMS
from tests.support.http import Client, ask, compose, does_serve
from tests.support.processes import is_gone
from tests.support.program import PROGRAM
from tests.support.upgrades import free_address
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.daemon import Address


def fill(sock: socket.socket) -> None:
    """Leave no room in a stream or in the queue of a receiver of datagrams."""
    try:
        while True:
            sock.send(b"x" * 100, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass


@contextmanager
def stderr_ends(kind: str) -> Iterator[tuple[int, int]]:
    """Make a stderr without room: the end to read from, and the one to write to."""
    if kind == "socket":
        left, right = socket.socketpair()
        with left, right:
            fill(right)
            yield left.fileno(), right.fileno()
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        try:
            while True:
                os.write(writer, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(writer, True)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def abort_puts(addr: Address, count: int) -> None:
    """Abort uploads, each of which is logged by the thread that holds the device's slot."""
    for number in range(count):
        with Client(addr) as client:
            client.send(compose("PUT", f"/dev1/{number}", "Content-Length: 9") + b"half")


@SMALL_FORMS
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_stderr(tmp_path: Path, kind: str, extra: list[str]) -> None:
    (tmp_path / "dev1").mkdir()
    (tmp_path / "dev1" / "file").write_bytes(b"content")
    addr = free_address()
    options = [f"--docroot={tmp_path}", f"--httplisten={addr[0]}:{addr[1]}", *extra]
    with stderr_ends(kind) as (_, writer):
        node = subprocess.Popen(
            [*PROGRAM, *options], stderr=writer, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_until(lambda: does_serve(addr), "it serves", START_S)
            abort_puts(addr, 30)
            assert ask(addr, compose("GET", "/dev1/file")).body == b"content"
            put = compose("PUT", "/dev1/new", "Content-Length: 1") + b"1"
            assert ask(addr, put).status == 201
            wait_until(lambda: not list(tmp_path.glob("dev1/*.tmp")), "aborted ones are gone")
            node.send_signal(signal.SIGTERM)
            assert node.wait(STOP_S) == 0
        finally:
            node.kill()
            node.wait()
        assert os.get_blocking(writer)


@SMALL_FORMS
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_stderr_that_is_read_late_has_every_line_in_order(
    tmp_path: Path, kind: str, extra: list[str]
) -> None:
    (tmp_path / "dev1").mkdir()
    addr = free_address()
    options = [f"--docroot={tmp_path}", f"--httplisten={addr[0]}:{addr[1]}", *extra]
    with stderr_ends(kind) as (reader, writer):
        node = subprocess.Popen(
            [*PROGRAM, *options], stderr=writer, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            wait_until(lambda: does_serve(addr), "it serves", START_S)
            os.set_blocking(reader, False)
            got = b""

            def comes(words: bytes) -> bool:
                nonlocal got
                try:
                    got += os.read(reader, 1 << 20)
                except BlockingIOError:
                    pass
                return words in got

            wait_until(lambda: comes(b": ready\n"), "the log is read")
            node.send_signal(signal.SIGTERM)
            wait_until(lambda: comes(b": stopping\n"), "the last line")
            assert node.wait(STOP_S) == 0
        finally:
            node.kill()
            node.wait()
    lines = got.lstrip(b"x").decode().splitlines()
    shown = [line.partition(": ")[2].partition(" on ")[0] for line in lines]
    assert shown[0].startswith("mogstored ")
    assert [line for line in shown if "compiled" not in line] == [
        shown[0],
        "listening for http",
        "ready",
        "stopping",
    ]


def test_start_that_fails_ends_although_its_message_is_not_read() -> None:
    with stderr_ends("pipe") as (_, writer):
        done = subprocess.run(
            [*PROGRAM, "--docroot=/nonexistent", "--httplisten=127.0.0.1:0"],
            stderr=writer,
            timeout=START_S,
            check=False,
        )
    assert done.returncode == 1


def private_run() -> bool:
    """Return whether a command can have a /run of its own, for a syslog socket."""
    if Path("/dev/log").exists() or not Path("/var/run").is_symlink():
        return False
    if not shutil.which("unshare"):
        return False
    asked = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/run"]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


@SMALL_FORMS
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["dgram", "stream"])
@pytest.mark.skipif(not private_run(), reason="needs Linux, root, and no /dev/log")
def test_syslog_of_a_daemon(tmp_path: Path, kind: socket.SocketKind, extra: list[str]) -> None:
    run, root = tmp_path / "run", tmp_path / "root"
    run.mkdir()
    (root / "dev1").mkdir(parents=True)
    addr, pidfile = free_address(), tmp_path / "pid"
    with socket.socket(socket.AF_UNIX, kind) as log, socket.socket(socket.AF_UNIX, kind) as other:
        log.bind(str(run / "log"))
        if kind is socket.SOCK_STREAM:
            log.listen(0)
        other.connect(str(run / "log"))
        fill(other)
        options = [f"--docroot={root}", f"--httplisten={addr[0]}:{addr[1]}", *extra]
        command = [*PROGRAM, "--daemonize", f"--pidfile={pidfile}", *options]
        in_own_run = 'mount --bind "$0" /run && exec "$@"'
        subprocess.run(
            ["unshare", "-m", "sh", "-c", in_own_run, str(run), *command],
            check=True,
            timeout=START_S,
            stdin=subprocess.DEVNULL,
        )
        daemon = psutil.Process(int(pidfile.read_text()))
        try:
            abort_puts(addr, 30)
            put = compose("PUT", "/dev1/new", "Content-Length: 1") + b"1"
            assert ask(addr, put).status == 201
            wait_until(lambda: not list(root.glob("dev1/*.tmp")), "aborted ones are gone")
            daemon.send_signal(signal.SIGTERM)
            wait_until(lambda: is_gone(daemon.pid), "it has ended", STOP_S)
        finally:
            if not is_gone(daemon.pid):
                daemon.kill()
