"""Which files are left-overs, and that nothing else is removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import psutil
import pytest

from mogstored.files import new_file
from mogstored.files.leftovers import is_leftover, is_temporary, sweep
from mogstored.files.new_file import temporary_name

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time()
TEMPORARY_AGE_S = 3600.0
TEST_AGE_S = 24 * 3600.0


@pytest.fixture(scope="module")
def gone() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def always() -> bool:
    return True


def make(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


OLD = TEMPORARY_AGE_S + 60


def test_old_temporary_file_of_a_process_that_is_gone(tmp_path: Path, gone: int) -> None:
    left = make(tmp_path / f"0/000/001/0000000001.fid.0a1b2c3d.{gone}.tmp", OLD)
    top = make(tmp_path / f"x.00000000.{gone}.tmp", OLD)
    assert sweep(str(tmp_path), NOW, always) == 2
    assert not left.exists()
    assert not top.exists()


def test_name_is_the_one_that_uploads_use(tmp_path: Path) -> None:
    name = os.fsdecode(temporary_name(b"0/1.fid"))
    # This process is younger than its file would be.
    left = make(tmp_path / name, 10 * 365 * 24 * 3600)
    assert sweep(str(tmp_path), NOW, always) == 1
    assert not left.exists()


@pytest.mark.parametrize("highest", [True, False])
def test_each_name_of_an_upload_is_one(monkeypatch: pytest.MonkeyPatch, highest: bool) -> None:
    monkeypatch.setattr(new_file, "getrandbits", lambda bits: (1 << bits) - 1 if highest else 0)
    assert is_temporary(temporary_name(b"1.fid"))


@pytest.mark.parametrize(
    "name",
    [
        "0000000001.fid",
        "0000000001.fid.tmp",
        "x.0a1b2c3d.tmp",
        "x.0A1B2C3D.{gone}.tmp",
        "x.0a1b2c3.{gone}.tmp",
        "x.0a1b2c3d.{gone}.tmp.bak",
        "x.0a1b2c3d.0{gone}.tmp",
        ".0a1b2c3d.{gone}.tmp",
        "usage",
        "usage.{gone}",
        "test-write-1",
    ],
)
def test_other_names_stay(tmp_path: Path, gone: int, name: str) -> None:
    kept = make(tmp_path / name.format(gone=gone), 10 * OLD)
    assert sweep(str(tmp_path), NOW, always) == 0
    assert kept.exists()


def test_young_file_stays(tmp_path: Path, gone: int) -> None:
    kept = make(tmp_path / f"x.0a1b2c3d.{gone}.tmp", TEMPORARY_AGE_S - 60)
    assert sweep(str(tmp_path), NOW, always) == 0
    assert kept.exists()


def left(name: bytes, age_s: float) -> bool:
    """Say whether a file is left over that is exactly as old."""
    found: Any = SimpleNamespace(st_mode=stat.S_IFREG, st_mtime=1e9 - age_s)
    return is_leftover(name, found, 1e9)


def test_file_of_exactly_its_age_stays(gone: int) -> None:
    temporary = b"x.0a1b2c3d.%d.tmp" % gone
    assert [left(temporary, 3600.0 + more) for more in (0.0, 0.5)] == [False, True]
    assert [left(b"test-md5", 24 * 3600.0 + more) for more in (0.0, 0.5)] == [False, True]


@pytest.mark.parametrize(("began_s", "expected"), [(0.5, False), (1.0, False), (1.5, True)])
def test_process_that_began_after_the_file_has_another_s_number(
    monkeypatch: pytest.MonkeyPatch, began_s: float, expected: bool
) -> None:
    """The times of files and of processes may differ by a second."""
    created = mock.Mock(return_value=1e9 - 7200.0 + began_s)
    monkeypatch.setattr(psutil, "Process", lambda _pid: mock.Mock(create_time=created))
    assert left(b"x.0a1b2c3d.1234.tmp", 7200.0) is expected


def test_file_of_a_process_that_lives_stays(tmp_path: Path) -> None:
    started = time.time()
    kept = make(tmp_path / f"x.0a1b2c3d.{os.getpid()}.tmp", 0)
    # An upload that takes two hours.
    assert sweep(str(tmp_path), started + 7200, always) == 0
    assert kept.exists()


@pytest.mark.parametrize("error", [psutil.AccessDenied(), psutil.Error(), OverflowError()])
def test_file_of_a_process_that_cannot_be_looked_at_stays(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    kept = make(tmp_path / f"x.0a1b2c3d.{gone}.tmp", OLD)
    with monkeypatch.context() as failing:
        failing.setattr(psutil, "Process", mock.Mock(side_effect=error))
        assert sweep(str(tmp_path), NOW, always) == 0
    assert kept.exists()


def test_files_of_the_trackers_write_test(tmp_path: Path) -> None:
    old = [
        make(tmp_path / f"test-write/{name}", TEST_AGE_S + 60)
        for name in ("test-write-0", "test-write-99", "test-md5")
    ]
    kept = [
        make(tmp_path / "test-write/test-write-7", TEST_AGE_S - 60),
        make(tmp_path / "test-write/test-write-100", TEST_AGE_S + 60),
        make(tmp_path / "test-write/notes", TEST_AGE_S + 60),
        make(tmp_path / "0/test-write/test-write-0", TEST_AGE_S + 60),
    ]
    assert sweep(str(tmp_path), NOW, always) == len(old)
    assert not any(each.exists() for each in old)
    assert all(each.exists() for each in kept)


def test_links_and_directories_stay(tmp_path: Path, gone: int) -> None:
    elsewhere = make(tmp_path / f"elsewhere/x.0a1b2c3d.{gone}.tmp", OLD)
    device = tmp_path / "dev1"
    (device / f"d.0a1b2c3d.{gone}.tmp").mkdir(parents=True)
    (device / f"l.0a1b2c3d.{gone}.tmp").symlink_to(elsewhere)
    (device / "link").symlink_to(elsewhere.parent)
    assert sweep(str(device), NOW, always) == 0
    assert elsewhere.exists()
    assert len(list(device.iterdir())) == 3


def test_device_may_be_a_link(tmp_path: Path, gone: int) -> None:
    left = make(tmp_path / f"disk/x.0a1b2c3d.{gone}.tmp", OLD)
    (tmp_path / "dev1").symlink_to(tmp_path / "disk")
    assert sweep(str(tmp_path / "dev1"), NOW, always) == 1
    assert not left.exists()


def test_sweep_ends_when_it_is_asked_to(tmp_path: Path, gone: int) -> None:
    for number in range(5):
        make(tmp_path / f"{number}/x.0a1b2c3d.{gone}.tmp", OLD)
    turns = iter([True, True, False])
    assert sweep(str(tmp_path), NOW, lambda: next(turns)) == 1


def test_nothing_is_open_between_two_directories(tmp_path: Path) -> None:
    """A sweep of hours must not keep a disk from being unmounted."""
    (tmp_path / "0").mkdir()
    before = set(os.listdir("/dev/fd"))
    seen = []

    def look() -> bool:
        seen.append(set(os.listdir("/dev/fd")))
        return True

    sweep(str(tmp_path), NOW, look)
    assert [len(each) for each in seen] == [len(before)] * 2


def test_what_cannot_be_removed_is_not_counted(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / f"x.0a1b2c3d.{gone}.tmp", OLD)
    make(tmp_path / f"y.0a1b2c3d.{gone}.tmp", OLD)
    unlink = os.unlink

    def refuse(name: bytes, *, dir_fd: int) -> None:
        if name.startswith(b"x"):
            raise PermissionError
        unlink(name, dir_fd=dir_fd)

    with monkeypatch.context() as refusing:
        refusing.setattr(os, "unlink", refuse)
        assert sweep(str(tmp_path), NOW, always) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_read_is_passed_over(tmp_path: Path, gone: int) -> None:
    assert sweep(str(tmp_path / "missing"), NOW, always) == 0
    left = make(tmp_path / f"1/x.0a1b2c3d.{gone}.tmp", OLD)
    left.parent.chmod(0o500)
    make(tmp_path / f"2/x.0a1b2c3d.{gone}.tmp", OLD)
    removed = sweep(str(tmp_path), NOW, always)
    left.parent.chmod(0o700)
    # Root removes both.
    assert removed == (2 if os.geteuid() == 0 else 1)
