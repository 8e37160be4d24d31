"""What is synced, in which order, before a PUT or DELETE returns."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import FileError
from mogstored.files import durability, nameless
from mogstored.files.docroot import Docroot
from mogstored.files.durability import Syncs
from tests.support.threads import Running
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATH = b"dev1/0/001/a"


class Recorder:
    """Records the calls that matter, by name and file, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self._root = os.fsencode(root)
        for name in ("fsync", "fdatasync", "link", "rename", "unlink"):
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._recording(name, getattr(os, name)))
        monkeypatch.setattr(durability, "_sync_data", getattr(os, "fdatasync", os.fsync))

    def _recording(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def record(*arguments: object, **named: object) -> object:
            what = name
            if name in ("fsync", "fdatasync"):
                what = f"{name} {self._name_of(arguments[0])}"
            self.calls.append(what)
            if what in self.failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(*arguments, **named)

        return record

    def _name_of(self, fd: object) -> str:
        """Return the directory below the docroot, or `file`."""
        found = os.fstat(int(str(fd)))
        for directory, _, _ in os.walk(self._root):
            if os.path.samestat(found, os.stat(directory)):
                return os.path.relpath(directory, self._root).decode()
        return "file"


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "dev1").mkdir()
    if request.param == "named":
        monkeypatch.setattr(nameless, "can_link", lambda *_: False)
    else:
        fd = os.open(tmp_path, os.O_RDONLY)
        makes_them = nameless.can_link(b"dev1", b"dev1/probe", fd)
        os.close(fd)
        if not makes_them:
            pytest.skip("this system makes no files without a name")
    return str(request.param)


def opened(tmp_path: Path, level: str) -> Docroot:
    docroot = Docroot(str(tmp_path), level)
    # The device is tried out now, and not while calls are recorded.
    docroot.store(b"dev1/first", b"")
    return docroot


def test_none_syncs_nothing(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docroot = opened(tmp_path, "none")
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.store(PATH, b"content")
    docroot.unlink(PATH)
    with pytest.raises(FileNotFoundError):
        docroot.unlink(PATH)
    assert recorder.calls == ["link" if way == "nameless" else "rename", "unlink", "unlink"]
    docroot.close()


@pytest.mark.parametrize(
    ("level", "synced"),
    [
        ("none", []),
        ("data", ["fdatasync file" if hasattr(os, "fdatasync") else "fsync file"]),
        ("full", ["fsync file", "fsync dev1", "fsync dev1/0"]),
    ],
)
def test_file_that_is_changed_in_place_is_synced_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, synced: list[str]
) -> None:
    (tmp_path / "dev1/0").mkdir(parents=True)
    docroot = opened(tmp_path, level)
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.open_in_place(b"dev1/0/a").publish()
    # What was known of dev1 is of dev1 alone.
    assert recorder.calls == synced
    for failing in synced:
        recorder.failing = {failing}
        file = docroot.open_in_place(b"dev1/0/a")
        if failing != "fsync dev1":
            with pytest.raises(FileError):
                file.publish()
        file.discard()
    docroot.close()


def test_removal_of_what_lies_in_the_docroot_itself_is_synced_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    docroot = Docroot(str(tmp_path), "full")
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.unlink(b"file")
    assert recorder.calls == ["unlink", "fsync ."]
    docroot.close()


def test_number_of_directories_that_are_known_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_MAX_KNOWN", 2)
    docroot = Docroot(str(tmp_path), "full")
    most = 0
    for number in range(5):
        (tmp_path / f"dev1/{number}").mkdir(parents=True)
        docroot.store(b"dev1/%d/a" % number, b"")
        most = max(most, len(docroot.syncs._known))
        assert b"dev1/%d" % number in docroot.syncs._known
    assert most == 2
    docroot.close()


def test_sync_that_fails_without_a_number_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError("odd")

    monkeypatch.setattr(os, "fsync", fail)
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught:
        Syncs(fd, "full").sync_name(b"file")
    assert caught.value.errno == errno.EIO
    os.close(fd)


def test_data_is_synced_before_the_name_appears(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docroot = opened(tmp_path, "data")
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.store(PATH, b"content")
    docroot.unlink(PATH)
    (sync, *rest) = recorder.calls
    assert sync in ("fdatasync file", "fsync file")
    assert rest == ["link" if way == "nameless" else "rename", "unlink"]
    docroot.close()


def test_full_syncs_names_and_new_parents(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docroot = opened(tmp_path, "full")
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.store(PATH, b"content")
    published = "link" if way == "nameless" else "rename"
    down = ["fsync dev1", "fsync dev1/0", "fsync dev1/0/001"]
    assert recorder.calls == ["fsync file", published, *down]
    recorder.calls.clear()
    docroot.store(b"dev1/0/001/b", b"content")
    assert recorder.calls == ["fsync file", published, "fsync dev1/0/001"]
    recorder.calls.clear()
    docroot.unlink(PATH)
    assert recorder.calls == ["unlink", "fsync dev1/0/001"]
    docroot.close()


def test_full_syncs_before_it_says_that_a_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev1").mkdir()
    docroot = opened(tmp_path, "full")
    docroot.store(PATH, b"content")
    recorder = Recorder(monkeypatch, tmp_path)
    recorder.failing.add("fsync dev1/0/001")
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            docroot.unlink(PATH)
    recorder.failing.clear()
    with pytest.raises(FileNotFoundError):
        docroot.unlink(PATH)
    assert recorder.calls == ["unlink", "fsync dev1/0/001"] * 3
    with pytest.raises(FileNotFoundError):
        docroot.unlink(b"dev1/0/never/made")
    docroot.close()


def test_mode_of_a_file_is_synced_with_it(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docroot = opened(tmp_path, "full")
    modes = []
    sync = os.fsync

    def note(fd: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        sync(fd)

    monkeypatch.setattr(os, "fsync", note)
    docroot.store(PATH, b"content")
    assert modes[0] == docroot.file_mode, way
    docroot.close()


def test_full_syncs_the_way_down_to_a_directory_that_was_there(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may have made it a moment ago."""
    del way
    docroot = opened(tmp_path, "full")
    (tmp_path / "dev1/0/001").mkdir(parents=True)
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.store(PATH, b"content")
    assert recorder.calls[-3:] == ["fsync dev1", "fsync dev1/0", "fsync dev1/0/001"]
    docroot.close()


def test_directory_that_was_removed_and_made_again_is_synced_again(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del way
    docroot = opened(tmp_path, "full")
    docroot.store(PATH, b"content")
    (tmp_path / "dev1/0/001/a").unlink()
    (tmp_path / "dev1/0/001").rmdir()
    recorder = Recorder(monkeypatch, tmp_path)
    docroot.store(PATH, b"content")
    assert recorder.calls[-3:] == ["fsync dev1", "fsync dev1/0", "fsync dev1/0/001"]
    docroot.close()


@pytest.mark.parametrize("failing", ["fsync file", "fsync dev1/0", "fsync dev1/0/001"])
def test_file_whose_sync_failed_is_not_kept(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """And the sync is not tried again: the kernel reports an error once."""
    del way
    docroot = opened(tmp_path, "full")
    recorder = Recorder(monkeypatch, tmp_path)
    recorder.failing = {failing}
    with pytest.raises(FileError) as caught:
        docroot.store(PATH, b"content")
    assert caught.value.errno == errno.EIO
    assert recorder.calls.count(failing) == 1
    assert [each.name for each in (tmp_path / "dev1/0/001").iterdir()] == []
    recorder.failing = set()
    docroot.store(PATH, b"content")
    # What failed was not taken for synced.
    assert recorder.calls.count(failing) == 2
    assert recorder.calls[-1] == "fsync dev1/0/001"
    docroot.close()


def test_waiters_for_a_directory_share_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    syncs = Syncs(fd, "full")
    (tmp_path / "dev1").mkdir()
    under_way, may_end, calls = threading.Event(), threading.Event(), []

    def slow(descriptor: int) -> None:
        calls.append(descriptor)
        under_way.set()
        assert may_end.wait(30)

    monkeypatch.setattr(os, "fsync", slow)
    first = Running(lambda: syncs.sync_name(b"dev1/a"))
    assert under_way.wait(30)
    # The call under way may have begun before their names were there.
    others = [Running(lambda: syncs.sync_name(b"dev1/b")) for _ in range(8)]
    wait_until(lambda: syncs._shared[b"dev1"].users == 9, "all wait")
    may_end.set()
    for each in (first, *others):
        each.result()
    assert len(calls) == 2
    assert syncs._shared == {}
    os.close(fd)
