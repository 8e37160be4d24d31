"""A node as process 1 of a container: signals before it serves, and other processes' orphans."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import START_S, STOP_S
from tests.support.forms import SMALL_FORMS
from tests.support.http import does_serve
from tests.support.processes import name_of
from tests.support.program import PROGRAM
from tests.support.sidechannel import Manager
from tests.support.upgrades import free_address
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


IN_CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def can_have_own_processes() -> bool:
    if not shutil.which("unshare"):
        return False
    asked = [*IN_CONTAINER, "true"]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not can_have_own_processes(), reason="needs Linux and root")


@contextmanager
def container(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """Run a command as process 1; the outer process ends with its status."""
    with subprocess.Popen(
        [*IN_CONTAINER, *command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as outer:
        try:
            process = psutil.Process(outer.pid)
            wait_until(process.children, "process 1 is there")
            yield outer, process.children()[0]
        finally:
            outer.kill()


@SMALL_FORMS
def test_orphans_are_reaped_and_its_own_children_are_not(tmp_path: Path, extra: list[str]) -> None:
    (tmp_path / "dev1").mkdir()
    http, mgmt = free_address(), free_address()
    options = [f"--httplisten={http[0]}:{http[1]}", f"--mgmtlisten={mgmt[0]}:{mgmt[1]}", *extra]
    node = [*PROGRAM, f"--docroot={tmp_path}", *options]
    # A process that outlives its parent is an orphan; some always do. The iostat
    # ends, too, and is started again once the node has its status.
    orphans = "(while sleep 0.1; do (sleep 0.1 & sleep 0.1 &); done &)"
    started = tmp_path / "started"
    iostat = f"sh -c 'echo >> {started}; echo Device %util; echo sda 1; echo; sleep 0.2'"
    command = ["env", f"MOG_IOSTAT_CMD={iostat}", "sh", "-c", f'{orphans}; exec "$@"', "sh", *node]
    with container(command) as (outer, init):
        wait_until(lambda: does_serve(http), "it serves", START_S)
        seen: set[int] = set()

        def come() -> int:
            seen.update(orphans_of(init))
            return len(seen)

        with Manager(mgmt) as watcher:
            watcher.send(b"watch\n")
            wait_until(lambda: come() > 5, "orphans come and go")
            wait_until(lambda: not seen & orphans_of(init), "they are reaped")
            wait_until(lambda: started.exists() and len(started.read_text()) > 2, "iostat goes on")
        init.send_signal(signal.SIGTERM)
        assert outer.wait(STOP_S) == 0
        assert outer.stderr is not None
        log = outer.stderr.read().decode()
    assert "died" not in log
    assert "failed" not in log


def orphans_of(init: psutil.Process) -> set[int]:
    """Return those that run, and those that have ended and are not reaped."""
    return {each.pid for each in init.children() if name_of(each) == "sleep"}


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.1, 0.2])
def test_stop_that_comes_before_it_serves_is_not_lost(tmp_path: Path, delay_s: float) -> None:
    """Covers the program from its first line; before that the interpreter starts."""
    (tmp_path / "dev1").mkdir()
    addr = free_address()
    node = [*PROGRAM, f"--docroot={tmp_path}", f"--httplisten={addr[0]}:{addr[1]}"]
    with container(node) as (outer, init):
        wait_until(lambda: catches(init.pid, signal.SIGTERM), "TERM is caught")
        # Another moment of the start each time.
        time.sleep(delay_s)
        init.send_signal(signal.SIGTERM)
        assert outer.wait(STOP_S) in (0, 128 + signal.SIGTERM)


def catches(pid: int, number: signal.Signals) -> bool:
    with open(f"/proc/{pid}/status") as file:
        caught = next(line for line in file if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
