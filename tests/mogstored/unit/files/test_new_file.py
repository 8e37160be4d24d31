"""A file on its way: partial writes, names that are taken, and errors of the last calls."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mogpoll import FileError
from mogstored.files import durability, nameless, new_file
from mogstored.files.checksums import at_rest
from mogstored.files.docroot import Docroot
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = b"dev1/f"
BODY = b"content of a file"


@pytest.fixture(params=["nameless", "named"])
def docroot(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Docroot]:
    (tmp_path / "dev1").mkdir()
    docroot = Docroot(str(tmp_path))
    if request.param == "named":
        monkeypatch.setattr(nameless, "can_link", lambda *_: False)
    elif not nameless.can_link(b"dev1", b"dev1/probe", docroot.fileno()):
        pytest.skip("this system makes no files without a name")
    docroot.store(b"dev1/first", b"")
    (tmp_path / "dev1/first").unlink()
    yield docroot
    docroot.close()


def names(tmp_path: Path) -> list[str]:
    return sorted(os.listdir(tmp_path / "dev1"))


@pytest.mark.parametrize("most", [1, 5, len(BODY) - 1])
def test_rest_of_a_partial_write_is_written(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    write = os.write
    with monkeypatch.context() as short:
        short.setattr(os, "write", lambda fd, data: write(fd, data[:most]))
        docroot.store(PATH, BODY)
    assert (tmp_path / "dev1/f").read_bytes() == BODY
    assert names(tmp_path) == ["f"]


def test_disk_that_takes_nothing_more_is_full(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [5, 0]
    with monkeypatch.context() as short:
        short.setattr(os, "write", lambda fd, data: write(fd, data[: room.pop(0)]))
        with pytest.raises(OSError, match=r".") as refused:
            docroot.store(PATH, BODY)
    assert refused.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


@pytest.mark.parametrize("before", [None, b"old"])
def test_file_whose_close_fails_is_not_published(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    """A network file system reports there that it is full."""
    if before is not None:
        (tmp_path / "dev1/f").write_bytes(before)
    close = os.close

    def fail(fd: int) -> None:
        is_data = os.fstat(fd).st_size == len(BODY)
        close(fd)
        if is_data:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as failing:
        failing.setattr(os, "close", fail)
        with pytest.raises(FileError) as refused:
            docroot.store(PATH, BODY)
    assert refused.value.errno == errno.EDQUOT
    if before is None:
        assert names(tmp_path) == []
    else:
        assert names(tmp_path) == ["f"]
        assert (tmp_path / "dev1/f").read_bytes() == before


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("call", ["write", "fchmod", "link", "rename"])
def test_nothing_is_left_when_memory_runs_out(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, *, at_once: bool
) -> None:
    (tmp_path / "dev1/f").write_bytes(b"old")
    before = len(os.listdir("/dev/fd"))

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    def put() -> None:
        if at_once:
            docroot.store(PATH, BODY)
        else:
            docroot.new_file(PATH).publish()

    with monkeypatch.context() as failing:
        failing.setattr(os, call, fail)
        # One kind of file does without the call.
        with contextlib.suppress(MemoryError):
            put()
    assert names(tmp_path) == ["f"]
    assert len(os.listdir("/dev/fd")) == before


def test_temporary_name_that_is_taken_is_left_alone(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev1/taken").write_bytes(b"another's")
    choices = [b"dev1/taken", b"dev1/free"]
    with monkeypatch.context() as taken:
        taken.setattr(new_file, "temporary_name", lambda _path: choices.pop(0))
        fd, name = new_file.create_named(PATH, docroot.fileno())
    os.write(fd, BODY)
    new_file.publish(fd, name, PATH, docroot.syncs, 0o644)
    assert names(tmp_path) == ["f", "taken"]
    assert (tmp_path / "dev1/f").read_bytes() == BODY
    assert (tmp_path / "dev1/taken").read_bytes() == b"another's"


def test_upload_that_is_over_has_nothing_to_discard(docroot: Docroot, tmp_path: Path) -> None:
    for is_kept in (False, True):
        file = docroot.new_file(PATH)
        assert os.write(file.fd, BODY)
        if is_kept:
            file.publish()
        file.discard()
        # Of another, by now.
        fd = os.open(tmp_path, os.O_RDONLY)
        file.discard()
        os.close(fd)
        assert names(tmp_path) == ["f"] * is_kept


@pytest.mark.parametrize("level", ["none", "data", "full"])
def test_file_in_place_gets_its_mode_when_it_is_complete(tmp_path: Path, level: str) -> None:
    (tmp_path / "dev1").mkdir()
    with contextlib.closing(Docroot(str(tmp_path), level)) as docroot:
        file = docroot.open_in_place(b"dev1/0/f")
        assert os.write(file.fd, BODY)
        path = tmp_path / "dev1/0/f"
        assert path.stat().st_mode & 0o777 == 0o600
        file.publish()
        file.discard()
        assert path.stat().st_mode & 0o777 == docroot.file_mode
    assert path.read_bytes() == BODY


def test_file_whose_checksum_cannot_be_removed_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev1").mkdir()

    def fail(_fd: int) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(at_rest, "remove", fail)
    docroot = Docroot(str(tmp_path))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        docroot.open_in_place(PATH)
    docroot.close()


@pytest.mark.parametrize(("level", "asked"), [("none", 0), ("data", 1), ("full", 1)])
def test_bytes_are_written_back_early_where_they_will_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, asked: int
) -> None:
    calls: list[tuple[int, ...]] = []

    def call(*arguments: int) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr(durability, "_find_sync_file_range", lambda: call)
    docroot = Docroot(str(tmp_path), level)
    docroot.syncs.begin_write_back(7, 4096, 100)
    docroot.close()
    # SYNC_FILE_RANGE_WRITE of linux/fs.h.
    assert calls == [(7, 4096, 100, 2)] * asked


def test_write_back_is_asked_for_with_offsets_of_64_bits(tmp_path: Path) -> None:
    call = durability._find_sync_file_range()
    if call is None:
        pytest.skip("this system has no such call")
    with open(tmp_path / "f", "wb") as file:
        assert call(file.fileno(), 0, 4096, 2) == 0
        # Their sum is negative.
        assert call(file.fileno(), 1 << 62, 1 << 62, 2) == -1


def test_system_without_early_write_back_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_find_sync_file_range", lambda: None)
    docroot = Docroot(str(tmp_path), "full")
    docroot.syncs.begin_write_back(7, 4096, 100)
    docroot.close()


FORKED = """
import os, sys
from mogstored.files import nameless
from mogstored.files.docroot import Docroot

docroot = Docroot(sys.argv[1])
if not (child := os.fork()):
    os._exit(0)
assert os.waitpid(child, 0) == (child, 0)
docroot.store(b"dev1/parent", b"of the parent")
is_open = nameless._open_files.fd >= 0
before = len(os.listdir("/dev/fd"))
if not (child := os.fork()):
    # What names files of the parent is closed.
    assert len(os.listdir("/dev/fd")) == before - is_open
    docroot.store(b"dev1/child", b"of the child")
    os._exit(0)
assert os.waitpid(child, 0) == (child, 0)
docroot.store(b"dev1/again", b"of the parent")
"""


def test_forked_process_names_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "dev1").mkdir()
    command = [sys.executable, "-P", "-c", FORKED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    found = {path.name: path.read_bytes() for path in (tmp_path / "dev1").iterdir()}
    assert found == {
        "parent": b"of the parent",
        "child": b"of the child",
        "again": b"of the parent",
    }
