"""Checks in processes of their own: their reports, their ends, and those that hang."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from mogstored.check_disks import apart
from mogstored.check_disks.apart import NoProcess, check_apart
from mogstored.check_disks.exercise import Result
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    Note = Callable[[str, int], None]

DEVICES = [Path("/one"), Path("/two"), Path("/three")]


@pytest.mark.parametrize("in_parallel", [False, True])
def test_results_come_from_other_processes(*, in_parallel: bool) -> None:
    def exercise(directory: str, size: int, note: Note) -> Result:
        note("write", 5)
        return Result(size, {"write": 1.5}, directory, f"{os.getpid()}")

    found = list(check_apart(DEVICES, 7, PATIENCE_S, in_parallel=in_parallel, exercise=exercise))
    assert sorted(directory for directory, _ in found) == sorted(DEVICES)
    if not in_parallel:
        assert [directory for directory, _ in found] == DEVICES
    for directory, result in found:
        assert result == Result(7, {"write": 1.5}, str(directory), result.reason)
    pids = {int(result.reason) for _, result in found}
    assert len(pids - {os.getpid()}) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids), "they are waited for"


@pytest.mark.parametrize("in_parallel", [False, True])
def test_only_parallel_checks_run_together(tmp_path: Path, *, in_parallel: bool) -> None:
    os.mkfifo(tmp_path / "fifo")

    def exercise(directory: str, size: int, _note: Note) -> Result:
        # Each end of a FIFO waits for the other.
        is_reader = directory == "/one"
        if in_parallel:
            os.close(os.open(tmp_path / "fifo", os.O_RDONLY if is_reader else os.O_WRONLY))
        else:
            try:
                os.mkdir(tmp_path / "alone")
                os.rmdir(tmp_path / "alone")
            except FileExistsError:
                return Result(size, failed="write")
        return Result(size)

    results = check_apart(DEVICES[:2], 7, PATIENCE_S, in_parallel=in_parallel, exercise=exercise)
    assert [result for _, result in results] == [Result(7), Result(7)]


def test_process_has_no_descriptor_of_the_caller() -> None:
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(16)]
    # The queue of the caller and both ends of the pipe are between others.
    for fd in held[-4:-1]:
        os.close(fd)

    def exercise(_directory: str, size: int, _note: Note) -> Result:
        is_null = [os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev for fd in range(3)]
        return Result(size, reason=f"{is_null} {sum(map(_is_open, range(3, 1024)))}")

    ((_, result),) = check_apart(DEVICES[:1], 7, PATIENCE_S, exercise=exercise)
    for fd in (*held[:-4], held[-1]):
        os.close(fd)
    # The null device, and the pipe to the caller.
    assert result.reason == "[True, True, True] 2"


def _is_open(fd: int) -> bool:
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False


def test_check_that_is_killed() -> None:
    def exercise(_directory: str, _size: int, note: Note) -> Result:
        for step in ("write", "sync"):
            note(step, 0)
        os.kill(os.getpid(), signal.SIGKILL)
        return Result(0)

    ((_, result),) = check_apart(DEVICES[:1], 7, PATIENCE_S, exercise=exercise)
    assert result == Result(7, failed="sync", reason="the check was killed")


@pytest.mark.parametrize("in_parallel", [False, True])
def test_check_that_hangs_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_parallel: bool
) -> None:
    def exercise(directory: str, size: int, _note: Note) -> Result:
        if directory == "/one":
            (tmp_path / "pid").write_text(f"{os.getpid()}")
            (tmp_path / "pid").rename(tmp_path / "runs")
            signal.pause()
        return Result(size)

    def clock() -> float:
        # No time passes but for the first check, once it hangs.
        return 1.0 if (tmp_path / "runs").exists() and wants_its_end else 0.0

    wants_its_end = not in_parallel
    monkeypatch.setattr(apart, "monotonic", clock)
    found = {}
    for directory, result in check_apart(
        DEVICES[:2], 7, 1.0, in_parallel=in_parallel, exercise=exercise
    ):
        found[directory] = result
        wants_its_end = True
    pid = int((tmp_path / "runs").read_text())
    try:
        hangs = Result(7, failed="create", reason="the disk hangs: nothing for 1 s")
        assert found == {DEVICES[0]: hangs, DEVICES[1]: Result(7)}
        assert [*found] == DEVICES[1::-1] if in_parallel else DEVICES[:2]
    finally:
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_check_that_goes_on_may_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of the clock lets it do a step of its own."""
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += PATIENCE_S / 3
        os.write(fifo, b"x")
        return now

    def exercise(_directory: str, size: int, note: Note) -> Result:
        steps = os.open(tmp_path / "fifo", os.O_RDONLY)
        for _ in range(12):
            os.read(steps, 1)
            note("write", 0)
        return Result(size)

    monkeypatch.setattr(apart, "monotonic", clock)
    ((_, result),) = check_apart(DEVICES[:1], 7, PATIENCE_S, exercise=exercise)
    os.close(fifo)
    assert result == Result(7)
    assert now > 2 * PATIENCE_S


def test_check_that_was_given_up_ends_when_its_disk_answers(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    def exercise(_directory: str, size: int, note: Note) -> Result:
        try:
            os.close(os.open(tmp_path / "fifo", os.O_RDONLY))
            note("write", 0)
        finally:
            (tmp_path / "cleaned").touch()
        (tmp_path / "wrong").touch()
        return Result(size)

    ((_, result),) = check_apart(DEVICES[:1], 7, 0.3, exercise=exercise)
    assert result.failed == "create"
    (child,) = psutil.Process().children()
    os.close(os.open(tmp_path / "fifo", os.O_WRONLY))
    assert os.waitpid(child.pid, 0)[1] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cleaned", "fifo"]


@pytest.mark.parametrize("in_parallel", [False, True])
def test_check_that_is_refused_a_process_waits_for_another_one(
    monkeypatch: pytest.MonkeyPatch, *, in_parallel: bool
) -> None:
    """With room for a single process, all devices are checked, one after the other."""
    running: set[int] = set()
    fork, waitpid = os.fork, os.waitpid

    def fork_one() -> int:
        if running:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        running.add(pid := fork())
        return pid

    def wait_for(pid: int, options: int) -> tuple[int, int]:
        running.discard(pid)
        return waitpid(pid, options)

    monkeypatch.setattr(os, "fork", fork_one)
    monkeypatch.setattr(os, "waitpid", wait_for)
    found = check_apart(
        DEVICES,
        7,
        PATIENCE_S,
        in_parallel=in_parallel,
        exercise=lambda _directory, size, _note: Result(size),
    )
    assert [directory for directory, _ in found] == DEVICES


def test_no_process_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(NoProcess, match=r"\(EAGAIN\)|is [0-9]"):
        next(check_apart(DEVICES, 7, PATIENCE_S))
    assert len(os.listdir("/dev/fd")) == before
