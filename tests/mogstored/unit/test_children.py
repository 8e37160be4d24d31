"""Which processes are this one's own, while the start of one hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from mogstored import children
from tests.project._tree import ROOT
from tests.support.threads import join
from tests.support.waiting import PATIENCE_S


def test_start_that_hangs_blocks_neither_the_main_thread_nor_a_reaping() -> None:
    hangs, answers = threading.Event(), threading.Event()

    def start() -> int:
        hangs.set()
        answers.wait(PATIENCE_S)
        raise FileNotFoundError

    def start_one() -> None:
        try:
            children.start_child(start)
        except FileNotFoundError:
            return

    def go_on() -> None:
        children.note_child(0)
        assert not children.reap_orphans()
        children.forget_child(0)

    starting = threading.Thread(target=start_one)
    starting.start()
    assert hangs.wait(PATIENCE_S)
    main = threading.Thread(target=go_on, daemon=True)
    main.start()
    try:
        join(main)
    finally:
        answers.set()
        join(starting)


def _end_a_child(*, is_own: bool) -> int:
    """Return the PID of a child that has ended and was not reaped."""

    def start() -> int:
        return os.posix_spawn(sys.executable, [sys.executable, "-Sc", ""], os.environ)

    pid = children.start_child(start) if is_own else start()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def case_orphan_is_reaped() -> None:
    pid = _end_a_child(is_own=False)
    assert children.reap_orphans()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def case_child_that_was_started_here_is_left_to_its_starter() -> None:
    pid = _end_a_child(is_own=True)
    assert not children.reap_orphans()
    assert os.waitpid(pid, 0) == (pid, 0)
    children.forget_child(pid)
    assert children.reap_orphans()


def case_child_that_was_noted_is_left_to_its_starter() -> None:
    pid = _end_a_child(is_own=False)
    children.note_child(pid)
    assert not children.reap_orphans()
    assert os.waitpid(pid, 0) == (pid, 0)


def case_number_of_a_child_that_was_reaped_may_be_an_orphans_next() -> None:
    pid = _end_a_child(is_own=True)
    children.forget_child(pid)
    assert children.reap_orphans()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


CASES = {name.removeprefix("case_"): case for name, case in globals().items() if "case_" in name}


@pytest.mark.parametrize("name", CASES)
def test_reaping(name: str) -> None:
    """In a process without other children: they would be orphans."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); from {__name__} import CASES; "
    command = [sys.executable, "-P", "-c", f"{code}CASES[{name!r}]()"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("returncode", "said"),
    [
        (0, "exited with status 0"),
        (3, "exited with status 3"),
        (-9, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
    ],
)
def test_end_is_described(returncode: int, said: str) -> None:
    assert children.describe_exit(returncode) == said
