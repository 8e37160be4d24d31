"""The slow disk of the other tests works as described, for each operation."""

from __future__ import annotations

import errno
import os
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.slow_disk import slow_disk
from tests.support.threads import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.bad_disk.control import SlowDisk

DELAY_S = 0.05


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowDisk]:
    with slow_disk(tmp_path_factory.mktemp("slow") / "disk") as disk:
        yield disk


@pytest.fixture(params=["open", "read", "write", "unlink", "statfs"])
def operation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(disk: SlowDisk, operation: str) -> Iterator[Callable[[], object]]:
    """A repeatable system call that the disk sees as this operation."""
    path = disk.path / "file"
    path.write_bytes(b"content")
    fd = os.open(path, os.O_RDWR)
    calls: dict[str, Callable[[], object]] = {
        "open": lambda: os.close(os.open(path, os.O_RDONLY)),
        "read": lambda: _read_anew(fd),
        "write": lambda: os.pwrite(fd, b"other", 0),
        "unlink": lambda: _unlink_new(path),
        "statfs": lambda: os.statvfs(path),
    }
    yield calls[operation]
    disk.release()
    os.close(fd)


def _read_anew(fd: int) -> None:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(fd, 10, 0)


def _unlink_new(path: Path) -> None:
    other = path.with_name("other")
    other.touch()
    other.unlink()


def timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def test_fixed_delay(disk: SlowDisk, operation: str, call: Callable[[], object]) -> None:
    disk.delay(DELAY_S, operation)
    assert timed(call) >= DELAY_S


def test_one_head_takes_them_in_turn(
    disk: SlowDisk, operation: str, call: Callable[[], object]
) -> None:
    disk.seek(DELAY_S, 2 * DELAY_S, operation)
    assert timed(call) >= DELAY_S
    if operation in ("open", "statfs"):
        began = time.monotonic()
        for running in [Running(call) for _ in range(4)]:
            running.result()
        assert time.monotonic() - began >= 4 * DELAY_S


def test_hang_until_released(disk: SlowDisk, operation: str, call: Callable[[], object]) -> None:
    disk.hang(operation)
    running = Running(call)
    disk.wait_until_held(1, operation)
    assert not running.is_over()
    disk.release()
    running.result()


def test_failure(disk: SlowDisk, operation: str, call: Callable[[], object]) -> None:
    disk.fail(errno.EIO, operation)
    with pytest.raises(OSError, match="Input/output error") as caught:
        call()
    assert caught.value.errno == errno.EIO
    disk.release()
    (disk.path / "other").unlink(missing_ok=True)
    call()


def test_others_go_on(disk: SlowDisk) -> None:
    (disk.path / "file").write_bytes(b"content")
    disk.hang("statfs")
    running = Running(partial(os.statvfs, disk.path))
    disk.wait_until_held(1, "statfs")
    assert (disk.path / "file").read_bytes() == b"content"
    disk.release()
    running.result()
