"""State that outlives a process: written whole, read if it can be, and kept from clients."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mogstored.files.docroot import Docroot
from mogstored.files.paths import is_own
from mogstored.files.state_dir import StateDir

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def docroot(tmp_path: Path) -> Iterator[Docroot]:
    docroot = Docroot(str(tmp_path))
    yield docroot
    docroot.close()


@pytest.fixture
def state(docroot: Docroot) -> StateDir:
    return StateDir(docroot)


def test_what_was_written_is_read_by_another(docroot: Docroot, state: StateDir) -> None:
    assert state.read("devices") is None
    assert state.write("devices", {"dev1": ["\udce9", 1.5, None]})
    assert StateDir(docroot).read("devices") == {"dev1": ["\udce9", 1.5, None]}


def test_nothing_is_made_before_it_is_needed(tmp_path: Path, state: StateDir) -> None:
    assert state.read("devices") is None
    assert state.stamp("devices") is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_may_look(tmp_path: Path, state: StateDir) -> None:
    state.write("devices", {})
    directory = tmp_path / ".mogstored"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "devices.json").stat().st_mode) == 0o600
    assert [each.name for each in directory.iterdir()] == ["devices.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_what_it_makes_to_the_owner_of_the_docroot(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1235)
    with closing(Docroot(str(tmp_path))) as docroot:
        StateDir(docroot).write("devices", {})
        for path in (tmp_path / ".mogstored", tmp_path / ".mogstored" / "devices.json"):
            assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
        # A directory that is there has the owner that it has.
        os.chown(tmp_path / ".mogstored", 1236, 1237)
        StateDir(docroot).write("devices", {})
    for path in (tmp_path / ".mogstored", tmp_path / ".mogstored" / "devices.json"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1236, 1237)


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_sync(fd: int) -> None:
        found = os.fstat(fd)
        content = "content" if found.st_size else "nothing"
        done.append("directory" if stat.S_ISDIR(found.st_mode) else content)
        fsync(fd)

    def note_name(*arguments: Any, **keywords: Any) -> None:
        done.append("name")
        rename(*arguments, **keywords)

    with monkeypatch.context() as noting:
        noting.setattr(os, "fsync", note_sync)
        noting.setattr(os, "rename", note_name)
        assert state.write("devices", {})
    assert done == ["content", "name", "directory"]


def test_stamp_changes_with_each_write(state: StateDir) -> None:
    stamps = set()
    for number in range(5):
        state.write("devices", {"number": number})
        stamps.add(state.stamp("devices"))
    assert len(stamps) > 1
    assert state.stamp("devices") == state.stamp("devices")


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_garbage_is_ignored_and_logged_once(
    tmp_path: Path, state: StateDir, caplog: pytest.LogCaptureFixture, garbage: bytes
) -> None:
    state.write("devices", {"a": 1})
    (tmp_path / ".mogstored" / "devices.json").write_bytes(garbage)
    with caplog.at_level(logging.WARNING, "mogstored"):
        assert [state.read("devices") for _ in range(3)] == [None] * 3
    assert len(caplog.messages) == 1
    assert "devices.json is ignored: not a JSON object" in caplog.messages[0]
    assert state.update("devices", lambda found: {**found, "b": 2})
    assert state.read("devices") == {"b": 2}
    # It is news again, after it was mended.
    (tmp_path / ".mogstored" / "devices.json").write_bytes(garbage)
    caplog.clear()
    assert [state.read("devices") for _ in range(3)] == [None] * 3
    assert len(caplog.messages) == 1


def test_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, docroot: Docroot, state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.write("devices", {"a": 1})

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as failing:
        failing.setattr(os, "rename", fail)
        assert not state.write("devices", {"a": 2})
    assert [each.name for each in (tmp_path / ".mogstored").iterdir()] == ["devices.json"]
    assert state.read("devices") == {"a": 2}
    assert StateDir(docroot).read("devices") == {"a": 1}


def test_temporary_file_of_an_earlier_process_is_no_obstacle(
    tmp_path: Path, state: StateDir
) -> None:
    state.write("devices", {"a": 1})
    left = tmp_path / ".mogstored" / f"devices.{os.getpid()}.{threading.get_ident()}.tmp"
    left.write_bytes(b"half of it")
    assert state.write("devices", {"a": 2})
    assert state.read("devices") == {"a": 2}
    assert not left.exists()


@pytest.mark.parametrize("kind", ["fifo", "directory", "link"])
def test_what_is_no_file_is_ignored(
    tmp_path: Path, state: StateDir, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    directory = tmp_path / ".mogstored"
    directory.mkdir()
    path = directory / "devices.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "other").write_text("{}")
        path.symlink_to(tmp_path / "other")
    assert state.read("devices") is None
    assert len(caplog.messages) == 1
    stamp = state.stamp("devices")
    assert stamp is not None
    assert stamp.inode == path.lstat().st_ino


def test_docroot_that_takes_no_files(
    tmp_path: Path, state: StateDir, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".mogstored").write_text("in the way")
    assert not state.write("devices", {"a": 1})
    assert not state.update("devices", lambda found: {**found, "b": 2})
    assert state.read("devices") == {"a": 1, "b": 2}
    assert len(caplog.messages) == 1
    assert "cannot write" in caplog.messages[0]
    # What the operator has repaired is used again.
    (tmp_path / ".mogstored").unlink()
    assert state.update("devices", lambda found: {**found, "c": 3})
    assert StateDir(state._docroot).read("devices") == {"a": 1, "b": 2, "c": 3}
    # And memory is not, though the file has gone as well.
    (tmp_path / ".mogstored" / "devices.json").unlink()
    assert state.read("devices") is None
    (tmp_path / ".mogstored").rmdir()
    (tmp_path / ".mogstored").write_text("in the way")
    assert not state.write("devices", {"a": 1})
    assert len(caplog.messages) == 2


def test_file_of_another_process_counts_more_than_memory(
    tmp_path: Path, docroot: Docroot, state: StateDir
) -> None:
    (tmp_path / ".mogstored").write_text("in the way")
    state.write("devices", {"a": 1})
    (tmp_path / ".mogstored").unlink()
    StateDir(docroot).write("devices", {"b": 2})
    assert state.read("devices") == {"b": 2}


def test_concurrent_updates_lose_nothing(docroot: Docroot) -> None:
    def count() -> None:
        own = StateDir(docroot)
        for _ in range(20):
            own.update("devices", lambda found: {"n": found.get("n", 0) + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert StateDir(docroot).read("devices") == {"n": 80}


@pytest.mark.parametrize(
    "path",
    [b".mogstored", b".mogstored/x.json", b"./.mogstored/x", b".//./.mogstored/", b".MogStored"],
)
def test_own_path(path: bytes) -> None:
    assert is_own(path)


@pytest.mark.parametrize(
    "path", [b"", b".", b".mogstored2/x", b"dev1/.mogstored", b"mogstored", b"./dev1"]
)
def test_path_of_clients(path: bytes) -> None:
    assert not is_own(path)
