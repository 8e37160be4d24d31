"""What is done to a device, and what is said when a call fails."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.check_disks.exercise import STEPS, exercise

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1024 * 1024
_EIO = f"{os.strerror(errno.EIO)} (EIO)"


def fail(
    monkeypatch: pytest.MonkeyPatch, call: str, error: OSError, *, after: int = 0, times: int = 99
) -> None:
    """Let a call fail after the first ones, so many times."""
    plain, count = getattr(os, call), 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if after < count <= after + times:
            raise error
        return plain(*arguments, **options)

    monkeypatch.setattr(os, call, failing)


def test_each_step_is_noted_with_its_progress(tmp_path: Path) -> None:
    size = 2 * _MIB + 5
    notes: list[tuple[str, int]] = []
    result = exercise(str(tmp_path), size, lambda *note: notes.append(note))
    steps: list[tuple[str, int]] = []
    for step in STEPS:
        steps.append((step, 0))
        if step in ("write", "read"):
            steps += [(step, _MIB), (step, 2 * _MIB), (step, size)]
    assert notes == steps
    assert (result.size, result.failed, result.reason) == (size, "", "")
    assert [*result.seconds] == [*STEPS]
    assert all(0 <= seconds < 60 for seconds in result.seconds.values())
    assert list(tmp_path.iterdir()) == []


def test_time_of_a_step_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr("mogstored.check_disks.exercise.monotonic", lambda: next(clock))
    assert exercise(str(tmp_path), 1).seconds == dict.fromkeys(STEPS, 1)


def test_file_while_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as an upload's, no other user reads it, and no two parts are alike."""
    synced: list[int] = []
    real = os.fsync

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    dropped: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, *arguments: dropped.append(arguments), raising=False
    )
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    seen: dict[str, Path] = {}

    def look(step: str, _done: int) -> None:
        for path in tmp_path.iterdir():
            seen[step] = path
            assert path.stat().st_mode & 0o777 == 0o600
            inode = path.stat().st_ino
        if step == "rename":
            content = seen["read"].read_bytes()
            assert len(content) == 2 * _MIB + 7
            assert content[:_MIB] != content[_MIB : 2 * _MIB]
            assert content[16:_MIB] == content[_MIB + 16 : 2 * _MIB]
            assert content[:16] == bytes(16)
            assert content[_MIB : _MIB + 16] == _MIB.to_bytes(16, "big")
            assert synced == [inode, tmp_path.stat().st_ino]
            assert dropped == [(0, 0, 4)]

    exercise(str(tmp_path), 2 * _MIB + 7, look)
    assert seen["write"] == seen["rename"]
    assert seen["delete"] != seen["rename"]
    names = [path.name.encode() for path in (seen["rename"], seen["delete"])]
    assert [name.split(b".")[0] for name in names] == [b"check", b"checked"]
    assert synced[2:] == [tmp_path.stat().st_ino], "the removal is synced"


def test_pages_that_cannot_be_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_DONTNEED", 4, raising=False)
    assert not exercise(str(tmp_path), 1).failed
    monkeypatch.delattr(os, "posix_fadvise")
    assert not exercise(str(tmp_path), 1).failed


@pytest.mark.parametrize(
    ("call", "after", "step"),
    [
        ("open", 0, "create"),
        ("open", 1, "create"),
        ("write", 1, "write"),
        ("fsync", 0, "sync"),
        ("fsync", 1, "sync"),
        ("pread", 1, "read"),
        ("rename", 0, "rename"),
        ("fsync", 2, "delete"),
    ],
)
def test_step_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: int, step: str
) -> None:
    fail(monkeypatch, call, OSError(errno.EIO, os.strerror(errno.EIO)), after=after)
    result = exercise(str(tmp_path), 2 * _MIB)
    assert (result.failed, result.reason) == (step, _EIO)
    assert [*result.seconds] == [*STEPS[: STEPS.index(step)]]
    assert list(tmp_path.iterdir()) == []


def test_removal_that_fails_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "unlink", OSError(errno.EIO, os.strerror(errno.EIO)), times=1)
    assert exercise(str(tmp_path), 1).failed == "delete"
    assert list(tmp_path.iterdir()) == []
    fail(monkeypatch, "unlink", OSError(errno.EIO, os.strerror(errno.EIO)))
    assert exercise(str(tmp_path), 1).failed == "delete"


def test_close_that_fails_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.close

    def close(fd: int) -> None:
        plain(fd)
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "close", close)
    assert not exercise(str(tmp_path), 1).failed


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(99999, "strange"), "strange"), (OSError("without a number"), "None")],
    ids=str,
)
def test_errors_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    fail(monkeypatch, "rename", error)
    assert exercise(str(tmp_path), 1).reason == reason


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: plain(fd, data[:300_000]))
    assert not exercise(str(tmp_path), _MIB + 1).failed


def test_disk_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 0)
    result = exercise(str(tmp_path), 5)
    reason = f"{os.strerror(errno.ENOSPC)} (ENOSPC)"
    assert (result.failed, result.reason) == ("write", reason)


def test_caller_that_has_gone_ends_it(tmp_path: Path) -> None:
    def note(step: str, done: int) -> None:
        if (step, done) == ("write", 1):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        exercise(str(tmp_path), 1, note)
    assert list(tmp_path.iterdir()) == []
