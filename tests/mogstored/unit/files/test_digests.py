"""Digests by slices, and the queue in which checks take turns."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from mogstored.files import digests
from mogstored.files.digests import FileDigest, FsckQueue, digest_of

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 100
BUFFER = 1000
TURN_S = 1 / 16


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "monotonic", lambda: 0.0)
    monkeypatch.setattr(digests, "SLICE_SIZE", 5 * BUFFER)


def open_digest(path: Path, content: bytes = CONTENT, name: str = "md5") -> FileDigest:
    path.write_bytes(content)
    return FileDigest(os.open(path, os.O_RDONLY), name)


def read_all(digest: FileDigest) -> list[int]:
    """Read to the end; return the offsets between the slices."""
    buffer = memoryview(bytearray(BUFFER))
    offsets = []
    while not digest.read_slice(buffer, TURN_S):
        offsets.append(digest.offset)
    return offsets


def test_file_is_read_by_slices(tmp_path: Path) -> None:
    digest = open_digest(tmp_path / "f")
    assert read_all(digest) == [5000, 10_000, 15_000, 20_000, 25_000]
    assert (digest.offset, digest.hexdigest()) == (25_600, hashlib.md5(CONTENT).hexdigest())
    digest.close()


def test_slice_ends_at_once_when_others_want_the_disk(tmp_path: Path) -> None:
    digest = open_digest(tmp_path / "f")
    assert not digest.read_slice(memoryview(bytearray(BUFFER)), TURN_S, lambda: True)
    assert digest.offset == BUFFER
    digest.close()


def test_slice_on_a_slow_disk_ends_with_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The third block of a slice would begin when its time is up.
    times = itertools.count(0.0, TURN_S / 2)
    monkeypatch.setattr(digests, "monotonic", lambda: next(times))
    digest = open_digest(tmp_path / "f")
    assert read_all(digest)[:3] == [2000, 4000, 6000]
    digest.close()


@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, 5 * BUFFER, 5 * BUFFER + 1])
@pytest.mark.parametrize("name", ["md5", "sha1", "sha512"])
def test_digest_of_any_size(tmp_path: Path, size: int, name: str) -> None:
    digest = open_digest(tmp_path / "f", CONTENT[:size], name)
    read_all(digest)
    assert digest.hexdigest() == hashlib.new(name, CONTENT[:size]).hexdigest()
    assert digest.hexdigest() == digest_of(CONTENT[:size], name)
    digest.close()


def test_descriptor_is_closed_once(tmp_path: Path) -> None:
    digest = open_digest(tmp_path / "f")
    digest.close()
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    digest.close()
    os.fstat(fd)
    os.close(fd)


def test_kernel_is_advised_how_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "posix_fadvise"):
        pytest.skip("this system takes no advice")
    advised = []

    def posix_fadvise(_fd: int, offset: int, length: int, advice: int) -> None:
        advised.append((offset, length, advice))
        raise OSError(errno.EINVAL, "no advice on this file system")

    monkeypatch.setattr(os, "posix_fadvise", posix_fadvise)
    open_digest(tmp_path / "f").close()
    assert advised == [(0, 0, os.POSIX_FADV_NOREUSE), (0, 0, os.POSIX_FADV_SEQUENTIAL)]


def test_system_that_takes_no_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    digest = open_digest(tmp_path / "f")
    read_all(digest)
    assert digest.hexdigest() == hashlib.md5(CONTENT).hexdigest()
    digest.close()


def test_turns_are_taken_in_the_order_of_arrival() -> None:
    resumed: list[object] = []
    queue = FsckQueue(resumed.append)
    assert [queue.enter(1, name) for name in "abc"] == [True, False, False]
    queue.leave(1)
    assert queue.enter(1, "d") is False
    for _ in "bcd":
        queue.leave(1)
    assert resumed == ["b", "c", "d"]
    assert queue.enter(1, "e") is True


def test_file_systems_have_queues_of_their_own() -> None:
    resumed: list[object] = []
    queue = FsckQueue(resumed.append)
    assert [queue.enter(disk, disk) for disk in (1, 2, 1)] == [True, True, False]
    queue.leave(2)
    assert resumed == []
    queue.leave(1)
    assert resumed == [1]


def test_open_queue_parks_no_task() -> None:
    resumed: list[object] = []
    queue = FsckQueue(resumed.append)
    assert [
        queue.enter(disk, name) for disk, name in ((1, "a"), (1, "b"), (2, "c"), (2, "d"))
    ] == [
        True,
        False,
        True,
        False,
    ]
    queue.open()
    assert resumed == ["b", "d"]
    # Tasks that had the turn leave as usual.
    for _ in "ab":
        queue.leave(1)
    assert queue.enter(1, "e") is True
    assert resumed == ["b", "d"]
