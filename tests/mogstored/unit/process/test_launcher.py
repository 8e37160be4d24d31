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

from mogstored.children import _own as own_children
from mogstored.children import reap_orphans
from mogstored.process.signals import SignalQueue
from mogstored.process.supervision.title import Title
from mogstored.process.upgrades.launcher import _MAX_FDS as MAX_FDS
from mogstored.process.upgrades.launcher import (
    ENDED,
    FAILED,
    STARTED,
    Answer,
    Launcher,
    _Server,
)
from tests.project._tree import ROOT
from tests.support.processes import is_gone
from tests.support.waiting import PATIENCE_S, promptly, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IDLE = (psutil.STATUS_SLEEPING, psutil.STATUS_IDLE)


class _Scripted:
    """An invocation that hangs with one socket, and fails with more: their number is the errno.

    With three it is a program that ends at once.
    """

    def execute(self, listener_fds: Sequence[int]) -> None:
        if len(listener_fds) == 3:
            os.execv(sys.executable, [sys.executable, "-Sc", ""])
        if len(listener_fds) > 1:
            raise OSError(len(listener_fds), "no program")
        time.sleep(2 * PATIENCE_S)


class _Admin:
    """An admin process that says how many listeners it has, and ends."""

    def run(self, control: socket.socket, listeners: Sequence[socket.socket]) -> None:
        control.sendall(b"%d" % len(listeners))
        os._exit(3)


def open_launcher(admin: _Admin | None = None) -> Launcher:
    launcher = Launcher(
        _Scripted(),  # type: ignore[arg-type]
        SignalQueue(),
        Title.prepare("test"),
        admin,  # type: ignore[arg-type]
    )
    launcher.start()
    return launcher


def children(pid: int = 0) -> list[psutil.Process]:
    return psutil.Process(pid or os.getpid()).children()


@contextmanager
def hanging_start(launcher: Launcher) -> Iterator[int]:
    """Request a start that hangs; yield the PID of its process."""
    (process,) = children()
    before = process.children()
    started: list[psutil.Process] = []

    def has_started() -> bool:
        started.extend(each for each in process.children() if each not in before)
        return bool(started)

    with socket.socket() as listener:
        launcher.request([listener.fileno()])
    wait_until(has_started, "the start hangs")
    yield started[0].pid


def refuse() -> int:
    raise BlockingIOError(errno.EAGAIN, "refused")


def outcome(launcher: Launcher) -> tuple[str, int]:
    """Return how the start of a process went that ends at once; its end is reported, too."""
    answers: list[Answer] = []
    while len(answers) < 2:
        answers += take(launcher)
    start, end = answers
    assert (end.word, end.pid) == (ENDED, start.pid)
    return start.word, start.number


def take(launcher: Launcher) -> list[Answer]:
    launcher.await_answer(PATIENCE_S)
    return list(launcher.answers())


def case_program_that_starts_and_ends() -> None:
    launcher = open_launcher()
    with socket.socket() as listener:
        launcher.request([listener.fileno()] * 3)
    assert outcome(launcher) == (STARTED, 0)


def case_start_is_reported_before_its_end_whichever_is_seen_first() -> None:
    near, far = socket.socketpair()
    near.settimeout(PATIENCE_S)
    server = _Server(_Scripted(), far, os.open(os.devnull, os.O_WRONLY), None)  # type: ignore[arg-type]
    for count in (1, 2):
        server._fds = [far.fileno()] * count
        server._start()
    hanging, failed = server._unstarted.values()
    os.waitid(os.P_PID, failed, os.WEXITED | os.WNOWAIT)
    server._reap()
    assert near.recv(4096) == b"failed %d 2\nended %d 127\n" % (failed, failed)
    server._kill_unstarted()
    os.waitid(os.P_PID, hanging, os.WEXITED | os.WNOWAIT)
    server._reap()
    assert near.recv(4096) == b"ended %d -9\n" % hanging


def case_killed_start_is_not_reported_as_started() -> None:
    launcher = open_launcher()
    with hanging_start(launcher) as pid:
        launcher.kill_unstarted()
        assert take(launcher) == [Answer(ENDED, pid, -9)]


def case_launcher_without_descriptors_refuses_and_goes_on() -> None:
    launcher = open_launcher()
    (process,) = children()
    with socket.socket() as listener:
        launcher.request([listener.fileno()] * 2)
        assert outcome(launcher) == (FAILED, 2), "its own start is over"
        process.rlimit(psutil.RLIMIT_NOFILE, (4, 4))
        launcher.request([listener.fileno()])
    (answer,) = take(launcher)
    assert (answer.word, answer.number) == (FAILED, errno.EMFILE)
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
    with hanging_start(launcher) as pid:
        launcher.kill_unstarted()
        assert take(launcher) == [Answer(ENDED, pid, -9)]
        wait_until(has_gone_to_sleep, "it sleeps after one that was killed")


def case_wait_for_an_answer_whose_time_is_over_returns() -> None:
    launcher = open_launcher()
    for timeout_s in (-1e-6, 0.0):
        promptly(lambda each=timeout_s: launcher.await_answer(each), 0.5)  # type: ignore[misc]


def case_launcher_has_only_its_channel_open() -> None:
    others = [socket.socketpair() for _ in range(5)]
    launcher = open_launcher()
    (process,) = children()
    # The standard ones, the channel, what wakes the node, and a queue of signals.
    wait_until(lambda: process.num_fds() == 3 + 1 + 1 + 2, "it has closed all others")
    assert launcher.is_running
    assert len(others) == 5


def case_launcher_that_was_killed() -> None:
    launcher = open_launcher()
    (process,) = children()
    process.suspend()
    with socket.socket() as listener:
        launcher.request([listener.fileno()])
        process.kill()
        # It has ended without reading the request, which resets the channel.
        assert take(launcher) == []
        assert not launcher.is_running
        with pytest.raises(BrokenPipeError, match="restart the node instead"):
            launcher.request([listener.fileno()])


def case_end_is_waited_for_though_another_process_has_the_channel() -> None:
    launcher = open_launcher()
    assert launcher._sock is not None
    os.dup(launcher._sock.fileno())
    launcher.end(PATIENCE_S)
    assert not children()
    assert not launcher.is_running
    launcher.end(PATIENCE_S)


def case_end_of_a_launcher_that_hangs_is_waited_for_as_long_as_was_said() -> None:
    launcher = open_launcher()
    (process,) = children()
    process.suspend()
    launcher.end(0.01)
    assert not launcher.is_running
    assert children() == [process]
    process.resume()


def case_launcher_is_no_orphan_until_it_is_reaped() -> None:
    launcher = open_launcher()
    (process,) = children()
    launcher.abandon()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not reap_orphans()
    launcher.reap()
    assert not own_children


def case_admin_process_and_its_end() -> None:
    launcher = open_launcher(_Admin())
    near, far = socket.socketpair()
    near.settimeout(PATIENCE_S)
    with socket.socket() as listener:
        launcher.start_admin([far.fileno(), listener.fileno(), listener.fileno()])
    far.close()
    assert near.recv(16) == b"2"
    assert take(launcher) == []
    assert launcher.take_admin_end() == "exited with status 3"
    assert launcher.take_admin_end() is None
    # No process has it open any more.
    assert near.recv(16) == b""


def case_admin_process_whose_fork_is_refused_has_ended() -> None:
    genuine = os.fork

    def fork() -> int:
        os.fork = refuse
        return genuine()

    os.fork = fork
    launcher = open_launcher()
    with socket.socket() as listener:
        for _ in range(2):
            launcher.start_admin([listener.fileno()])
            assert launcher.take_admin_end() is None
            assert take(launcher) == []
        assert launcher.take_admin_end() == "exited with status 1"


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if "case_" in name}


@pytest.mark.parametrize("name", CASES)
def test_launcher(name: str) -> None:
    # The checkout comes last, as in pytest: what is installed is tested.
    code = f"import sys; sys.path.append({str(ROOT)!r}); from {__name__} import CASES; "
    command = [sys.executable, "-P", "-c", f"{code}CASES[{name!r}]()"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
