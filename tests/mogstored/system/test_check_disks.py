"""`mogstored check-disks`: disks that work, fail, are full, or hang."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mogstored.check_disks.exercise import STEPS, exercise
from tests.support.disks import small_disk
from tests.support.program import run
from tests.support.slow_disk import slow_disk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    docroot = tmp_path / "docroot"
    for name in ("dev2", "dev10", "dev1", "other"):
        (docroot / name).mkdir(parents=True)
    return docroot


def check(docroot: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status, and the devices of the answer by their names."""
    done = run(["check-disks", "--json", "--size", "2M", str(docroot), *arguments])
    assert done.stderr == ""
    return done.returncode, {each["device"]: each for each in json.loads(done.stdout)["devices"]}


def test_disks_that_work(docroot: Path) -> None:
    status, devices = check(docroot)
    assert status == 0
    assert [*devices] == ["dev1", "dev2", "dev10"]
    assert all(each["ok"] and [*each["seconds"]] == [*STEPS] for each in devices.values())
    assert [list((docroot / name).iterdir()) for name in devices] == [[], [], []]


def test_table_has_a_line_for_each(docroot: Path) -> None:
    done = run(["check-disks", "--size=100K", str(docroot), "dev10", "dev1", "dev1"])
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["DEVICE", "dev1", "dev10"]
    assert all(line.endswith("  ok") for line in lines[1:])
    assert done.returncode == 0


@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename", "unlink"])
def test_disk_that_fails(docroot: Path, operation: str) -> None:
    with slow_disk(docroot / "dev3") as disk:
        disk.fail(errno.EIO, operation)
        status, devices = check(docroot)
        disk.release()
        left = list((docroot / "dev3").iterdir())
    assert status == 1
    assert [name for name, each in devices.items() if not each["ok"]] == ["dev3"]
    step = {"fsync": "sync", "unlink": "delete"}.get(operation, operation)
    assert devices["dev3"]["failed"] in (step, "write" if step == "sync" else step)
    assert devices["dev3"]["reason"] == "Input/output error (EIO)"
    # What cannot be removed stays.
    assert len(left) == (operation == "unlink")


@pytest.mark.parametrize("arguments", [(), ("--parallel",)])
def test_disk_that_hangs_is_given_up_and_nothing_stays(
    docroot: Path, arguments: tuple[str, ...]
) -> None:
    with slow_disk(docroot / "dev1a") as disk:
        (docroot / "dev1").rmdir()
        (docroot / "dev1").symlink_to(docroot / "dev1a")
        disk.hang("write")
        status, devices = check(docroot, "--timeout", "2", *arguments)
        assert status == 1
        assert [name for name, each in devices.items() if each["ok"]] == ["dev2", "dev10"]
        assert devices["dev1"]["reason"] == "the disk hangs: nothing for 2 s"
        assert devices["dev1"]["failed"] in ("write", "sync")
        disk.release()
        wait_until(lambda: not list((docroot / "dev1").iterdir()), "the file is removed")
        wait_until(lambda: not checks_of(docroot), "the process that has waited ends")


def checks_of(docroot: Path) -> list[int]:
    """Return the processes that check it."""
    return [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if str(docroot) in (each.info["cmdline"] or [])
    ]


def test_disk_that_is_full(docroot: Path) -> None:
    with small_disk(docroot / "dev3", "size=1m"):
        status, devices = check(docroot, "dev3")
        assert list((docroot / "dev3").iterdir()) == []
    assert status == 1
    assert devices["dev3"]["failed"] == "write"
    assert devices["dev3"]["reason"].endswith("(ENOSPC)")


def test_disk_that_returns_other_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        found = bytearray(real(fd, size, offset))
        if offset:
            found[77] ^= 1
        return bytes(found)

    monkeypatch.setattr(os, "pread", pread)
    result = exercise(str(tmp_path), 3 * 1024 * 1024 + 5)
    assert (result.failed, result.reason) == (
        "read",
        "other bytes came back than were written, from 1048576 on",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "0"],
        ["--size=x"],
        ["--timeout=0"],
        ["--frobnicate"],
        ["dev4"],
        ["other"],
        ["../docroot/dev1"],
    ],
)
def test_wrong_arguments(docroot: Path, arguments: list[str]) -> None:
    done = run(["check-disks", str(docroot), *arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_docroot_that_is_not_there(tmp_path: Path) -> None:
    assert run(["check-disks", str(tmp_path / "x")]).returncode == 2
    assert run(["check-disks", str(tmp_path)]).returncode == 1
