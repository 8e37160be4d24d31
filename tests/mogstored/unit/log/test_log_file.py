"""A log file: appended to, opened again after it was renamed, and never waited for."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from mogstored.log.log_file import LogFile, check_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_check_creates_nothing_and_changes_nothing(tmp_path: Path) -> None:
    check_path(str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").write_bytes(b"content")
    check_path(str(tmp_path / "old"))
    assert (tmp_path / "old").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("path", "number"),
    [(".", errno.EISDIR), ("missing/log", errno.ENOENT), ("file/log", errno.ENOTDIR)],
)
def test_check_names_what_the_open_would(tmp_path: Path, path: str, number: int) -> None:
    (tmp_path / "file").write_bytes(b"")
    for attempt in (check_path, LogFile):
        with pytest.raises(OSError, match=r"Errno") as refused:
            attempt(str(tmp_path / path))
        assert refused.value.errno == number


@pytest.mark.parametrize("refused", [os.W_OK, os.X_OK])
def test_check_refuses_a_folder_in_which_nothing_may_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & refused)
    with pytest.raises(PermissionError) as raised:
        check_path(str(tmp_path / "log"))
    assert raised.value.args == (errno.EACCES, "Permission denied")


def test_new_file_is_for_its_owner_and_group(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(LogFile(str(tmp_path / "log"))) as log:
            assert log.is_regular()
    finally:
        os.umask(before)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_lines_after_a_rename_go_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with closing(LogFile(str(path))) as log:
        assert log.take(b"one\n")
        path.rename(tmp_path / "log.1")
        assert log.take(b"two\n")
        log.reopen()
        assert log.take(b"three\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\n"


def test_old_file_goes_on_when_the_path_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with closing(LogFile(str(path))) as log:
        path.rename(tmp_path / "log.1")
        path.mkdir()
        with pytest.raises(IsADirectoryError):
            log.reopen()
        assert log.take(b"one\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\n"


def test_inherited_descriptor_stays_open_and_has_nothing_to_reopen(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    log = LogFile.inherited(fd)
    log.reopen()
    assert log.take(b"one\n")
    log.close()
    log.close()
    assert os.write(fd, b"two\n") == 4
    os.close(fd)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


class Pipe:
    """A pipe by name, whose reader may stop reading."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.log = LogFile(str(path))

    def read(self) -> bytes:
        found = b""
        try:
            while piece := os.read(self.reader, 1 << 20):
                found += piece
        except BlockingIOError:
            pass
        return found

    def fill(self, message: bytes) -> int:
        """Return how many messages were taken; of the last, only a part was written."""
        count = 0
        while self.log.take(message):
            count += 1
            if self.log.count_left():
                return count
        raise AssertionError("no message was written in part")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path / "pipe")
    yield made
    made.log.close()
    os.close(made.reader)


LONG = b"x" * 9_999 + b"\n" + b"y" * 9_999 + b"\n"


def test_pipe_without_room_gets_the_rest_before_the_next_message(pipe: Pipe) -> None:
    assert not pipe.log.is_regular()
    count = pipe.fill(LONG)
    assert not pipe.log.finish()
    assert not pipe.log.take(b"refused\n")
    got = pipe.read()
    while not pipe.log.finish():
        got += pipe.read()
    assert pipe.log.count_left() == 0
    assert pipe.log.take(b"next\n")
    assert got + pipe.read() == LONG * count + b"next\n"


def test_rest_of_a_message_is_dropped_when_it_is_abandoned(pipe: Pipe) -> None:
    pipe.fill(LONG)
    pipe.log.abandon()
    assert (pipe.log.count_left(), pipe.log.finish()) == (0, True)


def test_line_that_is_begun_ends_in_the_old_file(pipe: Pipe, tmp_path: Path) -> None:
    count = pipe.fill(LONG)
    left = pipe.log.count_left()
    (tmp_path / "pipe").rename(tmp_path / "old")
    got = pipe.read()
    pipe.log.reopen()
    assert pipe.log.count_left() == left - 1
    assert pipe.log.finish()
    got += pipe.read()
    assert got.endswith(b"\n")
    assert got + (tmp_path / "pipe").read_bytes() == LONG * count
