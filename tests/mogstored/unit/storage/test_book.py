"""What the node knows of its devices."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psutil
import pytest

from mogstored.storage.book import DeviceBook, MountGuard
from mogstored.storage.docroot import Docroot
from mogstored.storage.mounts import Origin
from tests.mogstored.unit.storage.conftest import Hangs

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may search any directory")


class Mounts:
    """A list of mounts that a test fills in."""

    def __init__(self) -> None:
        self.generation = 1
        self.origin = Origin("/dev/sdb1", ("sdb1", "sdb"))
        self.located: list[str] = []
        self.rereads = 0

    def reread(self) -> None:
        self.rereads += 1

    def locate(self, path: str, st_dev: int) -> Origin:
        self.located.append(path)
        return self.origin


@pytest.fixture
def mounts() -> Mounts:
    return Mounts()


@pytest.fixture
def learned() -> list[bytes]:
    return []


@pytest.fixture
def book(docroot: Docroot, mounts: Mounts, learned: list[bytes]) -> DeviceBook:
    return DeviceBook(docroot, learn=learned.append, mounts=mounts)


def _add(docroot: Docroot, *names: str) -> None:
    for name in names:
        Path(docroot.path, name).mkdir()


def _look(book: DeviceBook, *, write: bool = False) -> list[int]:
    for devid in book.scan():
        book.refresh(devid, write=write)
    return book.devids()


def _usage(docroot: Docroot, devid: int) -> Path:
    return Path(docroot.path, f"dev{devid}", "usage")


# Which entries are devices


def test_devices_in_the_order_of_their_numbers(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev10", "dev9", "dev0", "dev16777215")
    assert _look(book) == [0, 9, 10, 16777215]


@pytest.mark.parametrize(
    "name", ["dev", "dev007", "dev16777216", "dev1x", "xdev1", "Dev1", "dev-1", "dev1.tmp", "1"]
)
def test_other_names_are_no_devices(docroot: Docroot, book: DeviceBook, name: str) -> None:
    _add(docroot, name)
    assert _look(book) == []


def test_file_is_no_device(docroot: Docroot, book: DeviceBook) -> None:
    Path(docroot.path, "dev1").touch()
    assert _look(book) == []


def test_link_to_a_directory_is_a_device(
    docroot: Docroot, book: DeviceBook, mounts: Mounts, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    Path(docroot.path, "dev1").symlink_to(tmp_path / "disk")
    assert _look(book, write=True) == [1]
    assert (tmp_path / "disk" / "usage").exists()
    # Its mount is looked up where it really is, but its record names it below the docroot.
    assert mounts.located == [str(tmp_path / "disk")]
    record = book.record(1)
    assert record is not None
    assert record.disk == f"{docroot.path}/dev1"


@pytest.mark.parametrize("target", ["nowhere", "dev1", "/etc/passwd"])
def test_link_to_no_directory_is_skipped_in_silence(
    docroot: Docroot, book: DeviceBook, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(docroot.path, "dev1").symlink_to(target)
    assert _look(book, write=True) == []
    assert caplog.records == []


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o644])
def test_directory_that_is_not_searchable_waits_for_a_mount(
    docroot: Docroot, book: DeviceBook, mode: int
) -> None:
    _add(docroot, "dev1", "dev2")
    Path(docroot.path, "dev1").chmod(mode)
    assert _look(book, write=True) == [2]
    Path(docroot.path, "dev1").chmod(0o755)
    assert not _usage(docroot, 1).exists()


@NOT_ROOT
def test_directory_that_we_may_not_search(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    # Readable for us, searchable for others only.
    Path(docroot.path, "dev1").chmod(0o611)
    assert _look(book) == []


def test_device_that_appears_needs_no_restart(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    assert _look(book) == [1]
    _add(docroot, "dev666")
    assert _look(book) == [1, 666]


def test_device_that_disappears_is_dropped(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1", "dev2")
    _look(book)
    Path(docroot.path, "dev1").rmdir()
    assert _look(book) == [2]
    assert book.record(1) is None
    assert book.disk_names(1) == ()


def test_device_whose_file_system_fails_is_dropped(
    docroot: Docroot, book: DeviceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    _look(book)
    failure = OSError(errno.EIO, os.strerror(errno.EIO))
    monkeypatch.setattr(os, "fstatvfs", mock.Mock(side_effect=failure))
    assert _look(book) == []


def test_found_devices_get_slots(docroot: Docroot, book: DeviceBook, learned: list[bytes]) -> None:
    _add(docroot, "dev1", "dev2", "other")
    _look(book)
    _look(book)
    assert learned == [b"dev1", b"dev2"]


def test_docroot_may_be_renamed_meanwhile(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    os.rename(docroot.path, docroot.path + ".away")
    assert _look(book) == [1]


# Records


def test_record_tells_of_the_file_system(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    before = int(time.time())
    _look(book)
    record = book.record(1)
    assert record is not None
    state = os.statvfs(docroot.path)
    assert before <= record.time <= time.time()
    assert record.devid == 1
    assert record.device == "/dev/sdb1"
    expected = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
    assert record.fill.used_kib == pytest.approx(max(expected, 1), rel=0.05, abs=4096)


def test_no_record_of_an_unknown_device(book: DeviceBook) -> None:
    assert book.record(5) is None


def test_disk_names_are_those_of_the_mount(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    _look(book)
    assert book.disk_names(1) == ("sdb1", "sdb")


def test_unknown_mount_still_makes_a_record(
    docroot: Docroot, book: DeviceBook, mounts: Mounts
) -> None:
    mounts.origin = Origin()
    _add(docroot, "dev1")
    _look(book, write=True)
    assert b"\ndevice: /unknown\n" in _usage(docroot, 1).read_bytes()


def test_mount_is_looked_up_once_while_nothing_changes(
    docroot: Docroot, book: DeviceBook, mounts: Mounts
) -> None:
    _add(docroot, "dev1")
    _look(book)
    _look(book)
    assert len(mounts.located) == 1
    mounts.generation += 1
    _look(book)
    assert len(mounts.located) == 2


def test_list_of_mounts_is_read_each_round_and_for_unknown_devices(
    docroot: Docroot, book: DeviceBook, mounts: Mounts
) -> None:
    _add(docroot, "dev1")
    _look(book)
    assert mounts.rereads == 2
    _look(book)
    assert mounts.rereads == 3


@pytest.fixture
def fuller(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """A `statvfs` that finds the disk fuller each time: 1, 2, 3... blocks."""
    used = iter(range(1, 100))

    def statvfs(_fd: int) -> os.statvfs_result:
        free = 1000 - next(used)
        return os.statvfs_result((1024, 1024, 1000, free, free, 0, 0, 0, 0, 255))

    double = mock.Mock(side_effect=statvfs)
    monkeypatch.setattr(os, "fstatvfs", double)
    return double


def _used(book: DeviceBook, devid: int = 1) -> int:
    record = book.record(devid)
    assert record is not None
    return record.fill.used_kib


def test_clean_record_is_answered_from_memory(
    docroot: Docroot, book: DeviceBook, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(book)
    assert (_used(book), _used(book)) == (1, 1)
    assert fuller.call_count == 1


def test_dirty_record_is_measured_again_once(
    docroot: Docroot, book: DeviceBook, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(book, write=True)
    written = _usage(docroot, 1).read_bytes()
    book.mark_dirty(b"dev1/0/000/000/0000000001.fid")
    assert (_used(book), _used(book)) == (2, 2)
    assert _usage(docroot, 1).read_bytes() == written


@pytest.mark.parametrize("path", [b"dev2/x", b"dev01/x", b"dev/x", b"x", b"", b"dev99999999999"])
def test_change_elsewhere_leaves_the_record_alone(
    docroot: Docroot, book: DeviceBook, fuller: mock.Mock, path: bytes
) -> None:
    _add(docroot, "dev1")
    _look(book)
    book.mark_dirty(path)
    assert _used(book) == 1


def test_round_makes_the_record_clean(
    docroot: Docroot, book: DeviceBook, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(book)
    book.mark_dirty(b"dev1/x")
    _look(book)
    assert _used(book) == 2


def test_dirty_record_of_a_failing_device_is_the_old_one(
    docroot: Docroot, book: DeviceBook, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(book)
    book.mark_dirty(b"dev1/x")
    fuller.side_effect = OSError(errno.EIO, os.strerror(errno.EIO))
    assert _used(book) == 1
    assert fuller.call_count == 2
    # It is tried again: nobody has measured it yet.
    assert _used(book) == 1
    assert fuller.call_count == 3


def test_want_of_threads_leaves_the_old_record_and_no_lock(
    docroot: Docroot, book: DeviceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    book.rescan()
    old = book.record(1)
    book.mark_dirty(b"dev1/x")
    with monkeypatch.context() as patch:
        cannot = mock.Mock(side_effect=RuntimeError("can't start new thread"))
        patch.setattr(threading.Thread, "start", cannot)
        assert book.record(1) is old
    assert book.record(1) is not old


def test_device_that_hangs_holds_one_asker_only(
    docroot: Docroot, book: DeviceBook, hangs: Hangs
) -> None:
    _add(docroot, "dev1")
    _look(book)
    hangs.hang(Path(docroot.path, "dev1"))
    book.mark_dirty(b"dev1/x")
    answers: list[object] = []
    asker = threading.Thread(target=lambda: answers.append(book.record(1)), daemon=True)
    asker.start()
    hangs.await_blocked()
    book.mark_dirty(b"dev1/y")
    assert book.record(1) is not None
    assert answers == []
    hangs.let_go()
    asker.join(10)
    assert len(answers) == 1


def test_device_that_hangs_in_a_round_answers_from_memory(
    docroot: Docroot, book: DeviceBook, hangs: Hangs
) -> None:
    _add(docroot, "dev1")
    _look(book)
    hangs.hang(Path(docroot.path, "dev1"))
    job = threading.Thread(target=lambda: book.refresh(1, write=True), daemon=True)
    job.start()
    hangs.await_blocked()
    book.mark_dirty(b"dev1/x")
    assert book.record(1) is not None
    assert book.devids() == [1]
    hangs.let_go()
    job.join(10)
    assert not job.is_alive()


# Usage files


def test_file_says_what_the_record_says(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    _look(book, write=True)
    record = book.record(1)
    assert record is not None
    assert _usage(docroot, 1).read_bytes() == record.text()
    assert _usage(docroot, 1).stat().st_mode & 0o7777 == docroot.file_mode


def test_file_without_permissions_stays(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    _usage(docroot, 1).touch()
    _usage(docroot, 1).chmod(0)
    _look(book, write=True)
    assert book.record(1) is not None
    assert _usage(docroot, 1).stat().st_size == 0
    assert _usage(docroot, 1).stat().st_mode & 0o777 == 0


def test_no_file_where_another_process_writes_it(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    _look(book, write=False)
    assert book.record(1) is not None
    assert not _usage(docroot, 1).exists()


def test_file_that_cannot_be_written_is_reported_once(
    docroot: Docroot, book: DeviceBook, caplog: pytest.LogCaptureFixture
) -> None:
    _add(docroot, "dev1", "dev2")
    _usage(docroot, 1).mkdir()
    _look(book, write=True)
    _look(book, write=True)
    reason = os.strerror(errno.EISDIR)
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, f"cannot write {_usage(docroot, 1)}: {reason}")
    ]
    # Memory and the other device go on.
    assert book.record(1) is not None
    assert _usage(docroot, 2).exists()


def test_trouble_that_comes_back_is_reported_again(
    docroot: Docroot, book: DeviceBook, caplog: pytest.LogCaptureFixture
) -> None:
    _add(docroot, "dev1")
    for _ in range(2):
        _usage(docroot, 1).mkdir()
        _look(book, write=True)
        _usage(docroot, 1).rmdir()
        _look(book, write=True)
        _usage(docroot, 1).unlink()
    assert len(caplog.records) == 2


# Descriptors


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Refuse to open the names in the returned list, each once."""
    refused: list[bytes] = []
    real = os.open

    def scarcely_open(path: bytes, *args: int, **kwargs: int) -> int:
        for name in refused:
            if path.startswith(name):
                refused.remove(name)
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", scarcely_open)
    yield refused
    monkeypatch.undo()


@pytest.mark.parametrize("name", [b"dev1/.", b"usage."])
def test_idle_clients_make_room_once(
    docroot: Docroot, book: DeviceBook, scarce: list[bytes], name: bytes
) -> None:
    _add(docroot, "dev1")
    scarce.append(name)
    relieve = mock.Mock(return_value=True)
    book.refresh(1, write=True, relieve=relieve)
    relieve.assert_called_once_with()
    assert book.devids() == [1]
    assert _usage(docroot, 1).exists()


def test_idle_clients_make_room_for_the_listing(
    docroot: Docroot, book: DeviceBook, scarce: list[bytes]
) -> None:
    _add(docroot, "dev1")
    scarce.append(b".")
    relieve = mock.Mock(return_value=True)
    assert book.scan(relieve) == [1]
    relieve.assert_called_once_with()


def test_want_of_descriptors_does_not_drop_a_device(
    docroot: Docroot,
    book: DeviceBook,
    scarce: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _add(docroot, "dev1")
    _look(book)
    scarce.extend([b"dev1/."] * 2)
    book.refresh(1, write=True, relieve=lambda: False)
    assert book.devids() == [1]
    assert "cannot look at" in caplog.text


def test_want_of_descriptors_keeps_the_old_file(
    docroot: Docroot,
    book: DeviceBook,
    scarce: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _add(docroot, "dev1")
    scarce.extend([b"usage."] * 2)
    book.refresh(1, write=True, relieve=lambda: False)
    assert os.listdir(Path(docroot.path, "dev1")) == []
    assert "cannot write" in caplog.text


def test_looking_leaves_no_descriptor_open(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1", "dev2")
    Path(docroot.path, "dev2").chmod(0)
    _usage(docroot, 1).mkdir()
    before = psutil.Process().num_fds()
    _look(book, write=True)
    assert psutil.Process().num_fds() == before


# Devices that should be mounts


def test_device_on_the_docroots_own_file_system_is_left_out(
    docroot: Docroot, mounts: Mounts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    _add(docroot, "dev1")
    book = DeviceBook(docroot, require_mount=True, mounts=mounts)
    for _ in range(2):
        assert _look(book, write=True) == []
    assert book.record(1) is None
    assert book.is_unmounted(1)
    assert not _usage(docroot, 1).exists()
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, f"{docroot.path}/dev1 is not mounted, and left out")
    ]


def test_any_directory_will_do_by_default(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    assert not book.is_unmounted(1)


def test_guard_needs_no_scan(docroot: Docroot) -> None:
    _add(docroot, "dev1")
    guard = MountGuard(docroot)
    assert guard.is_unmounted(1)
    # What is not there is not for the guard to report.
    assert not guard.is_unmounted(2)


# Looking without a refresher


def test_rescan_by_itself(docroot: Docroot, book: DeviceBook) -> None:
    _add(docroot, "dev1")
    book.rescan()
    assert book.devids() == [1]
    assert not _usage(docroot, 1).exists()


def test_stuck_devices_are_remembered(book: DeviceBook) -> None:
    assert not book.is_stuck(1)
    book.note_stuck(1, True)
    assert (book.is_stuck(1), book.is_stuck(2)) == (True, False)
    book.note_stuck(1, False)
    assert not book.is_stuck(1)


def test_usage_of_a_device_that_is_stuck_is_refused(book: DeviceBook) -> None:
    """Even of one that was never measured, which has no record."""
    for devid in (1, 7):
        book.note_stuck(devid, True)
        with pytest.raises(TimeoutError):
            book.record_at(b"dev%d/usage" % devid)
        assert book.record_at(b"dev%d/other" % devid) is None
        book.note_stuck(devid, False)
        book.record_at(b"dev%d/usage" % devid)
