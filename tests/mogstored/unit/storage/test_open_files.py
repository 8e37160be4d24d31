"""The table of open files: who owns one, and when it is closed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mogstored.storage.open_files import OpenFile, OpenFiles
from tests.support.waiting import wait_until

PATH = b"dev1/0/000/000/0000000001.fid"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return path


def opened(content: Path) -> OpenFile:
    fd = os.open(content, os.O_RDONLY)
    return OpenFile(fd, os.fstat(fd))


def is_open(file: OpenFile) -> bool:
    try:
        os.fstat(file.fd)
    except OSError:
        return False
    return True


def test_second_file_of_a_path_is_closed(content: Path) -> None:
    files = OpenFiles(10)
    first, second = opened(content), opened(content)
    files.give(PATH, first)
    files.give(PATH, second)
    assert is_open(first)
    assert not is_open(second)
    assert files.take(PATH, None) is first
    files.give(PATH, first)
    files.close()
    assert not is_open(first)


def test_under_pressure_all_files_are_closed_and_counted(content: Path) -> None:
    files = OpenFiles(10)
    given = [opened(content) for _ in range(4)]
    for number, file in enumerate(given):
        files.give(b"dev%d/x" % number, file)
    assert files.drop_all() == 4
    assert not any(is_open(file) for file in given)
    assert files.drop_all() == 0
    files.close()


def test_full_table_leaves_the_files_of_others_alone(content: Path) -> None:
    """Closing one of them might hang, and its disk is not the one that is being read."""
    files = OpenFiles(2)
    first, second, third = (opened(content) for _ in range(3))
    for path, file in ((b"dev1/1", first), (b"dev1/2", second), (b"dev2/3", third)):
        files.give(path, file)
    assert [is_open(file) for file in (first, second, third)] == [True, True, False]
    files.give(b"dev1/1", files.take(b"dev1/1"))
    assert is_open(first), "its own place is free"
    files.close()


@pytest.fixture
def hanging(content: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenFile]:
    """A file whose close takes until the end of the test."""
    file = opened(content)
    release = threading.Event()
    close = os.close

    def close_or_hang(fd: int) -> None:
        if fd == file.fd:
            release.wait(60)
        close(fd)

    monkeypatch.setattr(os, "close", close_or_hang)
    yield file
    release.set()
    wait_until(lambda: not is_open(file), "it was only late")


def test_close_that_hangs_delays_no_other_device(content: Path, hanging: OpenFile) -> None:
    files = OpenFiles(10, kept_s=0.02)
    behind, other, late = (opened(content) for _ in range(3))
    files.give(b"dev1/hangs", hanging)
    files.give(b"dev1/behind", behind)
    files.give(b"dev2/is-well", other)
    wait_until(lambda: not is_open(other), "the other file is closed")
    files.give(b"dev3/late", late)
    wait_until(lambda: not is_open(late), "and those that come later")
    assert is_open(hanging)
    assert is_open(behind)
    assert files.take(b"dev1/behind", None) is None, "it takes nobody's place"
    files.close()


def test_close_that_hangs_holds_up_nobody_under_pressure(content: Path, hanging: OpenFile) -> None:
    files = OpenFiles(10)
    others = [opened(content) for _ in range(3)]
    files.give(b"dev1/hangs", hanging)
    for number, file in enumerate(others):
        files.give(b"dev2/%d" % number, file)
    assert files.drop_all() == 3
    assert not any(is_open(file) for file in others)
    assert is_open(hanging)
    files.close()


def test_file_that_is_read_all_the_time_is_closed_in_the_end(content: Path) -> None:
    """Else a directory that was renamed would be served under its old name for ever."""
    files = OpenFiles(10, kept_s=0.02)
    file = opened(content)
    files.give(PATH, file)

    def is_gone() -> bool:
        taken = files.take(PATH, None)
        if taken is not None:
            files.give(PATH, taken)
        return taken is None

    wait_until(is_gone, "the file is not kept any more")
    wait_until(lambda: not is_open(file), "it is closed")
    files.close()


def test_file_that_its_reader_held_for_too_long_is_closed_when_it_is_given_back(
    content: Path,
) -> None:
    files = OpenFiles(10, kept_s=0.02)
    file, other = opened(content), opened(content)
    files.give(PATH, file)
    taken = files.take(PATH)
    files.give(b"other", other)
    wait_until(lambda: not is_open(other), "the time of both is over")
    files.give(PATH, taken)
    assert not is_open(file)
    files.close()


def test_files_are_given_while_the_system_has_no_threads(
    content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    files = OpenFiles(10, kept_s=0.02)
    first, second = opened(content), opened(content)
    files.give(b"dev1/1", first)
    monkeypatch.undo()
    files.give(b"dev1/2", second)
    wait_until(lambda: not is_open(first), "it is looked after from then on")
    files.close()


def test_table_without_room_keeps_nothing(content: Path) -> None:
    files = OpenFiles(0)
    file = opened(content)
    files.give(PATH, file)
    assert not is_open(file)
    assert files.take(PATH, None) is None
