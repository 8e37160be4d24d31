"""File systems that the bench makes for one run: new, mounted, and gone in any case."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from bench.base import file_systems
from bench.base.file_systems import KINDS, TMPFS, fresh
from bench.base.machine import Unmeasurable, file_system
from tests.project.test_bench_command import linux, stopped, with_tools

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def made(kind: str, parent: Path) -> Iterator[Path]:
    """The same as `fresh`, where it can be done."""
    try:
        with fresh(kind, parent) as directory:
            yield directory
    except Unmeasurable as reason:
        pytest.skip(str(reason))


def mounts_below(parent: Path) -> list[str]:
    found = psutil.disk_partitions(all=True)
    return [each.mountpoint for each in found if Path(each.mountpoint).is_relative_to(parent)]


def loops_of(parent: Path) -> list[str]:
    """Return the files below `parent` that loop devices show."""
    files = []
    for shown in Path("/sys/block").glob("loop*/loop/backing_file"):
        # Those of other tests come and go.
        with suppress(OSError):
            files.append(shown.read_text())
    return [each for each in files if Path(each).is_relative_to(parent)]


@linux
@pytest.mark.parametrize("kind", KINDS)
def test_each_file_system_is_new_and_nothing_of_it_stays(kind: str, memory_disk: Path) -> None:
    for _ in range(2):
        with made(kind, memory_disk) as directory:
            assert not (directory / "file").exists()
            (directory / "file").write_bytes(b"content")
            assert file_system(directory) == kind
    assert list(memory_disk.iterdir()) == []
    assert mounts_below(memory_disk) == loops_of(memory_disk) == []


@linux
def test_failure_inside_unmounts_as_well(memory_disk: Path) -> None:
    with pytest.raises(ValueError, match="inside"), made("ext4", memory_disk):
        raise ValueError("inside")
    assert list(memory_disk.iterdir()) == []
    assert mounts_below(memory_disk) == loops_of(memory_disk) == []


@linux
def test_file_system_in_use_is_freed_when_it_is_not_used_any_more(
    memory_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_systems, "_BUSY_S", 0.0)
    with made("ext4", memory_disk) as directory:
        fd = os.open(directory, os.O_RDONLY)
    assert mounts_below(memory_disk) == []
    assert len(loops_of(memory_disk)) == 1
    os.close(fd)
    assert loops_of(memory_disk) == []


def test_directory_on_a_disk_is_no_tmpfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "file_system", lambda _: "ext4")
    with pytest.raises(Unmeasurable, match="is on ext4"), fresh(TMPFS, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@linux
@with_tools
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_bench_that_is_stopped_leaves_no_mount(
    number: signal.Signals, status: int, memory_disk: Path
) -> None:
    with made("ext4", memory_disk):
        pass
    argv = ["fresh", "--parts", "put-1k-ext4", "--docroot-parent", str(memory_disk)]
    assert stopped(argv, 3, number) == status
    assert list(memory_disk.iterdir()) == []
    assert mounts_below(memory_disk) == loops_of(memory_disk) == []
