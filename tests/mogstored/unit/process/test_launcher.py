"""The launcher process: starts that hang or fail, and its own end.

A process without threads runs each test: the launcher is forked.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from mogstored.process.signals import SignalQueue
from mogstored.process.supervision.title import Title
from mogstored.process.upgrades.launcher import _MAX_FDS as MAX_FDS
from mogstored.process.upgrades.launcher import ENDED, FAILED, Answer, Launcher
from tests.project._tree import ROOT
from tests.support.processes import is_gone
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IDLE = (psutil.STATUS_SLEEPING, psutil.STATUS_IDLE)


class _Scripted:
    """An invocation that hangs with one socket, and fails with more: their number is the errno."""

    def execute(self, listener_fds: Sequence[int]) -> None:
        if len(listener_fds) > 1:
            raise OSError(len(listener_fds), "no program")
        time.sleep(2 * PATIENCE_S)


def open_launcher() -> Launcher:
    launcher = Launcher(_Scripted(), SignalQueue(), Title.prepare("test"))  # type: ignore[arg-type]
    launcher.start()
    return launcher


def children(pid: int = 0) -> list[psutil.Process]:
    return psutil.Process(pid or os.getpid()).children()


@contextmanager
def hanging_start(launcher: Launcher) -> Iterator[int]:
    """Request a start that hangs; yield the PID of its process."""
    (process,) = children()
    with socket.socket() as listener:
        launcher.request([listener.fileno()])
    wait_until(process.children, "the start hangs")
    yield process.children()[0].pid


def refuse() -> int:
    raise BlockingIOError(errno.EAGAIN, "refused")


def outcome(launcher: Launcher) -> tuple[str, int]:
    """Return how the start went; the end of its process may be reported before or after."""
    while True:
        for answer in take(launcher):
            if answer.word != ENDED:
                return answer.word, answer.number


def take(launcher: Launcher) -> list[Answer]:
    launcher.await_answer(PATIENCE_S)
    return list(launcher.answers())


def case_killed_start_is_not_reported_as_started() -> None:
    launcher = open_launcher()
    with hanging_start(launcher) as pid:
        launcher.kill_unstarted()
        assert take(launcher) == [Answer(ENDED, pid, -9)]


def case_launcher_without_descriptors_refuses_and_goes_on() -> None:
    launcher = open_launcher()
    (process,) = children()
    process.rlimit(psutil.RLIMIT_NOFILE, (4, 4))
    with socket.socket() as listener:
        launcher.request([listener.fileno()])
    (answer,) = take(launcher)
    assert (answer.word, answer.number) == (FAILED, 24)
    assert launcher.is_running


def case_sockets_that_one_message_cannot_hold_come_in_several() -> None:
    launcher = open_launcher()
    (process,) = children()
    with socket.socket() as listener:
        before = 0
        for count in (2, MAX_FDS, MAX_FDS + 1, 2 * MAX_FDS, 2 * MAX_FDS + 1):
            launcher.request([listener.fileno()] * count)
            assert outcome(launcher) == (FAILED, count)
            before = before or process.num_fds()
    wait_until(lambda: process.num_fds() <= before, "it has closed its copies")


def case_fork_that_is_refused_leaves_no_descriptor() -> None:
    launcher = Launcher(_Scripted(), SignalQueue(), Title.prepare("test"))  # type: ignore[arg-type]
    before = psutil.Process().num_fds()
    genuine = os.fork
    os.fork = refuse
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always")
        with pytest.raises(BlockingIOError):
            launcher.start()
    assert not unclosed
    assert psutil.Process().num_fds() == before
    assert not launcher.is_running
    os.fork = genuine
    launcher.start()
    assert launcher.is_running


def case_start_whose_fork_is_refused_leaves_no_descriptor() -> None:
    genuine = os.fork

    def fork() -> int:
        os.fork = refuse
        return genuine()

    os.fork = fork
    launcher = open_launcher()
    (process,) = children()
    with socket.socket() as listener:
        before = 0
        for _ in range(5):
            launcher.request([listener.fileno()])
            assert take(launcher) == [Answer(FAILED, 0, errno.EAGAIN)]
            before = before or process.num_fds()
    wait_until(lambda: process.num_fds() <= before, "it has closed its copies")


def case_each_launcher_is_reaped_though_the_next_was_forked_before_its_end() -> None:
    launcher = open_launcher()
    (first,) = children()
    first.suspend()
    launcher.abandon()
    launcher.start()
    launcher.abandon()
    first.resume()

    def are_reaped() -> bool:
        launcher.reap()
        return not children()

    wait_until(are_reaped, "both are reaped")


def case_start_that_hangs_is_killed_though_an_answer_was_not_read() -> None:
    launcher = open_launcher()
    with hanging_start(launcher) as pid, socket.socket() as listener:
        launcher.request([listener.fileno()] * 2)
        launcher.await_answer(PATIENCE_S)
        launcher.abandon()
        wait_until(lambda: is_gone(pid), "it is killed")


def case_launcher_sleeps_after_starts_that_failed_or_were_killed() -> None:
    launcher = open_launcher()
    (process,) = children()

    def has_gone_to_sleep() -> bool:
        # A descriptor that is closed, and still polled, would be reported without an end.
        return all(process.status() in IDLE for _ in range(20))

    with socket.socket() as listener:
        launcher.request([listener.fileno()] * 2)
        assert outcome(launcher) == (FAILED, 2)
        wait_until(has_gone_to_sleep, "it sleeps after one that failed")
    with hanging_start(launcher):
        launcher.kill_unstarted()
        assert take(launcher)
        wait_until(has_gone_to_sleep, "it sleeps after one that was killed")


def case_wait_for_an_answer_whose_time_is_over_returns() -> None:
    open_launcher().await_answer(-1e-6)


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if "case_" in name}


@pytest.mark.parametrize("name", CASES)
def test_launcher(name: str) -> None:
    # The checkout comes last, as in pytest: what is installed is tested.
    code = f"import sys; sys.path.append({str(ROOT)!r}); from {__name__} import CASES; "
    command = [sys.executable, "-P", "-c", f"{code}CASES[{name!r}]()"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
