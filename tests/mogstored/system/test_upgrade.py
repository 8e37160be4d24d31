"""SIGUSR2: a new program on the same sockets, and the way back."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import START_S
from tests.support.forms import ONE_WORKER, SINGLE, SMALL_FORMS
from tests.support.http import GET_ROOT, Client, ask, compose
from tests.support.injected import refused_fork
from tests.support.processes import is_gone
from tests.support.sidechannel import Manager
from tests.support.sockets import refuses
from tests.support.threads import join
from tests.support.upgrades import Generations, free_address, generations
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The old process has to lead again within this time.
BACK_S = 30.0


@pytest.fixture(params=[SINGLE, ONE_WORKER], ids=["single", "workers"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Generations]:
    """A node with a pidfile."""
    with generations(pidfile=tmp_path / "pid", extra=request.param) as found:
        yield found


def wait_until_back(old: Generations) -> None:
    wait_until(lambda: old.pid_in_file() == old.node.pid, "the pidfile is taken back", BACK_S)
    wait_until(lambda: old.pid_in_file(".oldbin") is None, ".oldbin is removed")


def test_both_serve_and_the_pidfile_names_the_new_one(old: Generations) -> None:
    new = old.upgrade()
    assert old.pid_in_file() == new
    assert old.pid_in_file(".oldbin") == old.node.pid
    for pid in (old.node.pid, new):
        assert not is_gone(pid)
    assert ask(old.addr, GET_ROOT).status == 200


def test_new_one_goes_on_when_the_old_one_ends(old: Generations) -> None:
    new = old.upgrade()
    old.retire(new)
    assert old.node.wait() == 0
    assert old.pid_in_file() == new
    assert old.pid_in_file(".oldbin") is None
    assert ask(old.addr, GET_ROOT).status == 200
    old.send(signal.SIGTERM, new)
    wait_until(lambda: is_gone(new), "the new one has ended")
    assert old.pid_in_file() is None
    assert refuses(old.addr)


def test_generation_after_generation(old: Generations) -> None:
    for _ in range(3):
        old.retire(old.upgrade())
        assert old.pid_in_file() == old.current
        assert ask(old.addr, GET_ROOT).status == 200


@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGQUIT, "exited with status 0"),
        (signal.SIGKILL, "was killed by SIGKILL"),
        (signal.SIGABRT, "was killed by SIGABRT"),
    ],
    ids=["QUIT", "KILL", "ABRT"],
)
def test_old_one_is_back_when_the_new_one_ends(
    old: Generations, number: signal.Signals, how: str
) -> None:
    for _ in range(2):
        new = old.upgrade()
        assert old.pid_in_file() == new
        old.send(number, new)
        wait_until_back(old)
        old.node.wait_for_log(f"upgrade ended: process {new} {how}")
        assert ask(old.addr, GET_ROOT).status == 200


@SMALL_FORMS
def test_old_one_goes_on_when_the_configuration_has_become_bad(
    tmp_path: Path, extra: list[str]
) -> None:
    config = tmp_path / "config"
    config.write_text("maxconns = 1000\n")
    options = [*extra, "--config", str(config)]
    with generations(pidfile=tmp_path / "pid", extra=options) as old:
        config.write_text("httplisten = nowhere\n")
        old.send(signal.SIGUSR2)
        old.node.wait_for_log("upgrade ended: process [0-9]+ exited with status 1")
        wait_until_back(old)
        assert ask(old.addr, GET_ROOT).status == 200
        config.write_text("maxconns = 1000\n")
        old.retire(old.upgrade())
        assert ask(old.addr, GET_ROOT).status == 200


@SMALL_FORMS
def test_old_one_goes_on_when_the_new_program_cannot_be_executed(
    tmp_path: Path, extra: list[str]
) -> None:
    program = tmp_path / "python"
    injected = f"import sys; sys.orig_argv[0] = {str(program)!r}"
    with generations(pidfile=tmp_path / "pid", extra=extra, injected=injected) as old:
        old.send(signal.SIGUSR2)
        old.node.wait_for_log(f"no upgrade: cannot start {program}: .*No such file or directory")
        wait_until_back(old)
        assert ask(old.addr, GET_ROOT).status == 200


def test_node_serves_without_a_process_to_be_upgraded_by(tmp_path: Path) -> None:
    flag = tmp_path / "refuse"
    flag.touch()
    with generations(pidfile=tmp_path / "pid", injected=refused_fork(flag)) as old:
        old.node.wait_for_log(
            "cannot be upgraded: no launcher process: Resource temporarily unavailable"
        )
        old.send(signal.SIGUSR2)
        old.node.wait_for_log("no upgrade: .*restart the node instead")
        wait_until_back(old)
        assert ask(old.addr, GET_ROOT).status == 200


# The first attempt to write the pidfile's number there fails after an upgrade.
REFUSED_RESTORE = """
import errno, os
plain = os.pwrite

def pwrite(fd, data, offset):
    target = os.readlink(f"/proc/self/fd/{{fd}}")
    if target == {pidfile!r} and os.path.exists({flag!r}):
        os.unlink({flag!r})
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return plain(fd, data, offset)

os.pwrite = pwrite
"""


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are named by /proc")
@SMALL_FORMS
def test_pidfile_is_taken_back_though_that_fails_once(tmp_path: Path, extra: list[str]) -> None:
    pidfile, flag = tmp_path / "pid", tmp_path / "refuse"
    injected = REFUSED_RESTORE.format(pidfile=str(pidfile), flag=str(flag))
    with generations(pidfile=pidfile, extra=extra, injected=injected) as old:
        new = old.upgrade()
        flag.touch()
        old.send(signal.SIGKILL, new)
        old.node.wait_for_log("cannot take the pidfile back: .*No space left on device")
        wait_until_back(old)
        assert ask(old.addr, GET_ROOT).status == 200


@SMALL_FORMS
def test_no_pidfile_is_needed(extra: list[str]) -> None:
    with generations(extra=extra) as old:
        old.retire(old.upgrade())
        assert ask(old.addr, GET_ROOT).status == 200
        assert old.node.wait() == 0


def test_second_request_during_an_upgrade_changes_nothing(old: Generations) -> None:
    new = old.upgrade()
    old.send(signal.SIGUSR2)
    old.node.wait_for_log(f"upgrade is already running: process {new}")
    assert old.numbers("upgrade started: process") == [new]
    assert old.pid_in_file() == new


def test_new_one_is_not_upgraded_while_the_old_one_lives(old: Generations) -> None:
    new = old.upgrade()
    old.send(signal.SIGUSR2, new)
    why = rf"oldbin belongs to PID: {old.node.pid}"
    old.node.wait_for_log(rf"mogstored\[{new}\]: no upgrade: .*{why}")
    assert old.numbers("upgrade started: process") == [new]
    assert ask(old.addr, GET_ROOT).status == 200


def test_pidfile_of_another_process_is_respected(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with generations(pidfile=pidfile) as old:
        other = os.getpid()
        pidfile.write_text(f"{other}\n")
        old.send(signal.SIGUSR2)
        old.node.wait_for_log(f"no upgrade: .*belongs to PID: {other}")
        assert pidfile.read_text() == f"{other}\n"
        assert old.pid_in_file(".oldbin") is None
        pidfile.unlink()


def test_pidfile_is_taken_back_when_its_process_has_ended(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with generations(pidfile=pidfile) as old:
        new = old.upgrade()
        other = os.getpid()
        pidfile.write_text(f"{other}\n")
        old.send(signal.SIGKILL, new)
        old.node.wait_for_log(f"upgrade ended: process {new}")
        assert ask(old.addr, GET_ROOT).status == 200
        assert old.pid_in_file() == other
        pidfile.write_text(f"{new}\n")
        wait_until_back(old)


def test_other_children_do_not_get_the_sockets(tmp_path: Path) -> None:
    """Only the new node does: the ports are closed when both have ended and an iostat is left."""
    pid_file = tmp_path / "iostat.pid"
    iostat = f"sh -c 'echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60'"
    mgmt = free_address()
    with (
        generations(
            extra=["--mgmtlisten", f"{mgmt[0]}:{mgmt[1]}"], env={"MOG_IOSTAT_CMD": iostat}
        ) as old,
        Manager(mgmt) as watcher,
    ):
        watcher.send(b"watch\n")
        wait_until(pid_file.exists, "iostat runs")
        child = int(pid_file.read_text())
        new = old.upgrade()
        try:
            for pid in (old.node.pid, new):
                old.send(signal.SIGKILL, pid)
            wait_until(lambda: refuses(old.addr) and refuses(mgmt), "the ports are closed")
            assert not is_gone(child)
        finally:
            psutil.Process(child).kill()


def test_transfer_of_the_old_one_is_finished(old: Generations) -> None:
    size = 16 * 1024 * 1024
    old.node.write("/dev1/large", b"x" * size)
    with Client(old.addr) as client:
        client.send(compose("GET", "/dev1/large"))
        client.read_head()
        new = old.upgrade()
        old.send(signal.SIGQUIT)
        # The remaining workers accept connections in turn.
        assert ask(old.addr, GET_ROOT).status == 200
        assert len(client.read_exactly(size)) == size
        client.read_eof()
    wait_until(lambda: is_gone(old.node.pid), "the old one has ended")
    old.current = new


@pytest.mark.slow
def test_no_request_is_lost_during_upgrades(old: Generations) -> None:
    """Clients keep their connections, and connect again when those end."""
    old.node.write("/dev1/file", b"content")
    clients = [_BusyClient(old) for _ in range(4)]
    for client in clients:
        client.start()
    for _ in range(4):
        old.retire(old.upgrade())
        for client in clients:
            client.wait_for_more()
    for client in clients:
        client.stop()
    assert [client.lost for client in clients] == [[], [], [], []]


class _BusyClient(threading.Thread):
    """Asks for one file again and again, and notes each request that was not answered.

    It gives its connection up when an answer says that it was the last, and never else.
    """

    def __init__(self, old: Generations) -> None:
        super().__init__(daemon=True)
        self._addr = old.addr
        self._stopped = threading.Event()
        self.answered = 0
        self.lost: list[str] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._use_one_connection()
            except (OSError, AssertionError) as error:
                self.lost.append(repr(error))
                return

    def stop(self) -> None:
        self._stopped.set()
        join(self)

    def wait_for_more(self, count: int = 20) -> None:
        """Return after so many more answers, or when a request was lost."""
        enough = self.answered + count
        wait_until(lambda: self.answered >= enough or self.lost, "requests are answered")

    def _use_one_connection(self) -> None:
        with Client(self._addr) as client:
            is_kept = True
            while is_kept and not self._stopped.is_set():
                answer = client.request(compose("GET", "/dev1/file"))
                assert answer.body == b"content"
                is_kept = answer.keeps
                self.answered += 1


def test_new_one_has_the_command_line_of_the_old_one() -> None:
    with generations(extra=["--maxconns=777"]) as old:
        new = old.upgrade()
        commands = [psutil.Process(pid).cmdline() for pid in (old.node.pid, new)]
        assert commands[0] == commands[1]
        assert "--maxconns=777" in commands[0]


@SMALL_FORMS
def test_daemon_is_upgraded_and_comes_back(tmp_path: Path, extra: list[str]) -> None:
    """The caller returns once the daemon serves; the program has a relative name, in `/`."""
    (tmp_path / "dev1").mkdir()
    pidfile, addr = tmp_path / "pid", free_address()
    bin_dir, python = os.path.split(sys.executable)
    options = [f"--docroot={tmp_path}", f"--httplisten={addr[0]}:{addr[1]}", *extra]
    command = [f"./{python}", "-P", "-m", "mogstored", "-d", f"--pidfile={pidfile}", *options]
    subprocess.run(command, cwd=bin_dir, check=True, timeout=START_S, stdin=subprocess.DEVNULL)
    first = psutil.Process(int(pidfile.read_text()))
    try:
        assert ask(addr, GET_ROOT).status == 200
        first.send_signal(signal.SIGUSR2)
        wait_until(lambda: _pid_in(pidfile) not in (None, first.pid), "there is a new one")
        second = psutil.Process(int(pidfile.read_text()))
        wait_until(lambda: second.cwd() == "/", "the new one pins no directory either")
        first.send_signal(signal.SIGQUIT)
        wait_until(lambda: is_gone(first.pid), "the old one has ended")
        assert ask(addr, GET_ROOT).status == 200
    finally:
        for process in [first, psutil.Process(int(pidfile.read_text()))]:
            if not is_gone(process.pid):
                process.send_signal(signal.SIGTERM)
                wait_until(functools.partial(is_gone, process.pid), "the daemon has ended")
    assert not pidfile.exists()


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
