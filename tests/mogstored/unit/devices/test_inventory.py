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

from mogstored.config.values.free_space import parse_min_free
from mogstored.devices import health
from mogstored.devices import inventory as inventory_module
from mogstored.devices.device import Device, Devices
from mogstored.devices.health import HeldSlots
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.mounts.guard import MountGuard
from mogstored.devices.mounts.table import Origin
from mogstored.devices.usage_file import write_usage
from mogstored.files.docroot import Docroot
from tests.mogstored.unit.devices.conftest import Hangs
from tests.support.clock import stop_clock
from tests.support.threads import Running, join
from tests.support.waiting import PATIENCE_S

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may search any directory")


class Mounts:
    """A list of mounts that a test fills in."""

    def __init__(self) -> None:
        self.generation = 1
        self.origin = Origin("/dev/sdb1", ("sdb1", "sdb"))
        self.located: list[str] = []
        self.rereads = 0
        self.is_news = False

    def reread(self) -> None:
        self.rereads += 1
        self.generation += self.is_news
        self.is_news = False

    def locate(self, path: str, st_dev: int) -> Origin:
        self.located.append(path)
        return self.origin


@pytest.fixture
def mounts() -> Mounts:
    return Mounts()


@pytest.fixture
def devices(docroot: Docroot) -> Devices:
    return Devices(docroot, lambda _task: None)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record gets old by itself, however slow the machine is."""
    monkeypatch.setattr(inventory_module, "_FRESH_S", 3600.0)


@pytest.fixture
def inventory(docroot: Docroot, devices: Devices, mounts: Mounts) -> DeviceInventory:
    return DeviceInventory(docroot, devices, mounts=mounts)


def _add(docroot: Docroot, *names: str) -> None:
    for name in names:
        Path(docroot.path, name).mkdir()


def _change(inventory: DeviceInventory, path: bytes) -> None:
    """Do what a PUT or DELETE does."""
    inventory._devices.of(path).usage.is_dirty = True


def _look(inventory: DeviceInventory, *, write: bool = False) -> list[int]:
    for device in inventory.scan():
        inventory.refresh(device, write=write)
    return inventory.devids()


def _dev1(devices: Devices) -> Device:
    devices.register(b"dev1")
    return devices.of(b"dev1")


def _usage(docroot: Docroot, devid: int) -> Path:
    return Path(docroot.path, f"dev{devid}", "usage")


# Which entries are devices


def test_devices_in_the_order_of_their_numbers(
    docroot: Docroot, inventory: DeviceInventory
) -> None:
    _add(docroot, "dev10", "dev9", "dev0", "dev16777215")
    assert _look(inventory) == [0, 9, 10, 16777215]


@pytest.mark.parametrize(
    "name", ["dev", "dev007", "dev16777216", "dev1x", "xdev1", "Dev1", "dev-1", "dev1.tmp", "1"]
)
def test_other_names_are_no_devices(
    docroot: Docroot, inventory: DeviceInventory, name: str
) -> None:
    _add(docroot, name)
    assert _look(inventory) == []


def test_file_is_no_device(docroot: Docroot, inventory: DeviceInventory) -> None:
    Path(docroot.path, "dev1").touch()
    assert _look(inventory) == []


def test_link_to_a_directory_is_a_device(
    docroot: Docroot, inventory: DeviceInventory, mounts: Mounts, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    Path(docroot.path, "dev1").symlink_to(tmp_path / "disk")
    assert _look(inventory, write=True) == [1]
    assert (tmp_path / "disk" / "usage").exists()
    # Its mount is looked up where it really is, but its record names it below the docroot.
    assert mounts.located == [str(tmp_path / "disk")]
    record = inventory.record(1)
    assert record is not None
    assert record.disk == f"{docroot.path}/dev1"


@pytest.mark.parametrize("target", ["nowhere", "dev1", "/etc/passwd"])
def test_link_to_no_directory_is_skipped_in_silence(
    docroot: Docroot, inventory: DeviceInventory, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path(docroot.path, "dev1").symlink_to(target)
    assert _look(inventory, write=True) == []
    assert caplog.records == []


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o666])
def test_directory_that_is_not_searchable_waits_for_a_mount(
    docroot: Docroot, inventory: DeviceInventory, mode: int
) -> None:
    _add(docroot, "dev1", "dev2")
    Path(docroot.path, "dev1").chmod(mode)
    assert _look(inventory, write=True) == [2]
    Path(docroot.path, "dev1").chmod(0o755)
    assert not _usage(docroot, 1).exists()
    assert _look(inventory) == [1, 2]
    Path(docroot.path, "dev1").chmod(mode)
    assert _look(inventory) == [2]


@NOT_ROOT
def test_directory_that_we_may_not_search(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    # Readable for us, searchable for others only.
    Path(docroot.path, "dev1").chmod(0o611)
    assert _look(inventory) == []


def test_device_that_appears_needs_no_restart(
    docroot: Docroot, inventory: DeviceInventory
) -> None:
    _add(docroot, "dev1")
    assert _look(inventory) == [1]
    _add(docroot, "dev666")
    assert _look(inventory) == [1, 666]


def test_device_that_disappears_is_dropped(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1", "dev2")
    _look(inventory)
    Path(docroot.path, "dev1").rmdir()
    assert _look(inventory) == [2]
    assert inventory.record(1) is None
    assert inventory.disk_names(1) == ()


@pytest.mark.parametrize(
    "error", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV], ids=errno.errorcode.get
)
@pytest.mark.parametrize("call", ["open", "fstat", "fstatvfs"])
def test_device_that_fails_stays_and_its_usage_is_refused(
    docroot: Docroot,
    devices: Devices,
    inventory: DeviceInventory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    error: int,
) -> None:
    """The record of before, or the file with it, would bring the device new files."""
    caplog.set_level(logging.INFO, "mogstored")
    _add(docroot, "dev1")
    _look(inventory, write=True)
    with monkeypatch.context() as patch:
        _fail(patch, call, error)
        for _ in range(2):
            inventory.refresh(_dev1(devices), write=True)
            assert inventory.devids() == [1]
            with pytest.raises(OSError, match=os.strerror(error)):
                inventory.record_at(b"dev1/usage")
    _look(inventory)
    assert inventory.record_at(b"dev1/usage") is not None
    path, name = f"{docroot.path}/dev1", errno.errorcode[error]
    assert [record.message for record in caplog.records] == [
        f"{path} fails: {os.strerror(error)} ({name}); its usage is answered with 500",
        f"{path} answers again",
    ]


def test_usage_of_a_device_that_failed_from_the_start_is_refused(
    docroot: Docroot, inventory: DeviceInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    _usage(docroot, 1).write_text("available: 1\n")
    _fail(monkeypatch, "fstatvfs", errno.EIO)
    assert _look(inventory) == []
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        inventory.record_at(b"dev1/usage")


def test_device_that_is_not_there_any_more_does_not_fail(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    with monkeypatch.context() as patch:
        _fail(patch, "fstatvfs", errno.EIO)
        inventory.refresh(_dev1(devices), write=False)
    Path(docroot.path, "dev1").rmdir()
    inventory.refresh(_dev1(devices), write=False)
    assert inventory.devids() == []
    assert inventory.record_at(b"dev1/usage") is None


def test_usage_below_a_mount_point_is_refused(
    docroot: Docroot, inventory: DeviceInventory
) -> None:
    """There may be an old file, which the superuser could read."""
    _add(docroot, "dev1")
    _usage(docroot, 1).write_text("available: 1\n")
    Path(docroot.path, "dev1").chmod(0)
    assert _look(inventory) == []
    with pytest.raises(PermissionError):
        inventory.record_at(b"dev1/usage")


def _fail(patch: pytest.MonkeyPatch, call: str, error: int) -> None:
    """Have a call of `os` on a device fail."""
    real = getattr(os, call)

    def fail(target: object, *args: object, **kwargs: object) -> object:
        if target == b".":
            return real(target, *args, **kwargs)
        raise OSError(error, os.strerror(error))

    patch.setattr(os, call, fail)


def test_found_devices_get_slots(
    docroot: Docroot, inventory: DeviceInventory, devices: Devices
) -> None:
    _add(docroot, "dev1", "dev2", "other")
    _look(inventory)
    _look(inventory)
    assert {device.name for device in devices.known()} == {b"dev1", b"dev2"}


def test_docroot_may_be_renamed_meanwhile(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    os.rename(docroot.path, docroot.path + ".away")
    assert _look(inventory) == [1]


# Records


def test_record_has_the_figures_of_its_file_system(
    docroot: Docroot, inventory: DeviceInventory
) -> None:
    _add(docroot, "dev1")
    before = int(time.time())
    _look(inventory)
    record = inventory.record(1)
    assert record is not None
    state = os.statvfs(docroot.path)
    assert before <= record.time <= time.time()
    assert record.devid == 1
    assert record.device == "/dev/sdb1"
    expected = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
    assert record.fill.used_kib == pytest.approx(max(expected, 1), rel=0.05, abs=4096)


def test_look_finds_the_room_and_whether_the_disk_is_read_only(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    flags = [os.ST_RDONLY, 0]
    monkeypatch.setattr(
        os,
        "fstatvfs",
        lambda _: os.statvfs_result((1024, 1024, 1000, 300, 300, 0, 0, 0, flags.pop(), 255)),
    )
    health, space = _dev1(devices).health, _dev1(devices).usage.space
    space.take(1024, parse_min_free("1"))
    for is_read_only in (False, True):
        _look(inventory)
        assert health.is_mounted_read_only is is_read_only
        # A tenth has to stay free: of all, not of what is left.
        assert space.take(0, parse_min_free("10%")) == 200 * 1024


def test_no_record_of_an_unknown_device(inventory: DeviceInventory) -> None:
    assert inventory.record(5) is None


def test_disk_names_are_those_of_the_mount(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    assert inventory.disk_names(1) == ("sdb1", "sdb")


def test_unknown_mount_still_makes_a_record(
    docroot: Docroot, inventory: DeviceInventory, mounts: Mounts
) -> None:
    mounts.origin = Origin()
    _add(docroot, "dev1")
    _look(inventory, write=True)
    assert b"\ndevice: /unknown\n" in _usage(docroot, 1).read_bytes()


def test_mount_is_looked_up_once_while_nothing_changes(
    docroot: Docroot, inventory: DeviceInventory, mounts: Mounts
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    _look(inventory)
    assert len(mounts.located) == 1
    mounts.generation += 1
    _look(inventory)
    assert len(mounts.located) == 2


def test_list_of_mounts_is_read_each_round_and_for_unknown_devices(
    docroot: Docroot, inventory: DeviceInventory, mounts: Mounts
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    assert mounts.rereads == 2
    _look(inventory)
    assert mounts.rereads == 3
    mounts.generation += 1
    _look(inventory)
    assert mounts.rereads == 4


def test_list_of_mounts_is_read_again_for_a_disk_that_was_mounted_since(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, mounts: Mounts
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    device = _dev1(devices)
    device.usage.located_at = (-1, mounts.generation)
    mounts.is_news = True
    for _ in range(2):
        inventory.refresh(device, write=False)
    assert (mounts.rereads, mounts.generation, len(mounts.located)) == (3, 2, 2)


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


def _used(inventory: DeviceInventory, devid: int = 1) -> int:
    record = inventory.record(devid)
    assert record is not None
    return record.fill.used_kib


def test_clean_record_is_answered_from_memory(
    docroot: Docroot, inventory: DeviceInventory, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    assert (_used(inventory), _used(inventory)) == (1, 1)
    assert fuller.call_count == 1


def test_dirty_record_is_measured_again_once(
    docroot: Docroot, inventory: DeviceInventory, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(inventory, write=True)
    written = _usage(docroot, 1).read_bytes()
    _change(inventory, b"dev1/0/000/000/0000000001.fid")
    assert (_used(inventory), _used(inventory)) == (2, 2)
    assert _usage(docroot, 1).read_bytes() == written


@pytest.mark.parametrize("path", [b"dev2/x", b"dev01/x", b"dev/x", b"x", b"", b"dev99999999999"])
def test_change_elsewhere_leaves_the_record_alone(
    docroot: Docroot, inventory: DeviceInventory, fuller: mock.Mock, path: bytes
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    _change(inventory, path)
    assert _used(inventory) == 1


def test_round_makes_the_record_clean(
    docroot: Docroot, inventory: DeviceInventory, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    _change(inventory, b"dev1/x")
    _look(inventory)
    assert _used(inventory) == 2


def test_device_that_fails_is_measured_again_when_asked_for(
    docroot: Docroot, inventory: DeviceInventory, fuller: mock.Mock
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    _change(inventory, b"dev1/x")
    good, fuller.side_effect = fuller.side_effect, OSError(errno.EIO, os.strerror(errno.EIO))
    for calls in (2, 3):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            inventory.record_at(b"dev1/usage")
        assert fuller.call_count == calls
    fuller.side_effect = good
    assert inventory.record_at(b"dev1/usage") is not None


def test_old_record_is_measured_again(
    docroot: Docroot,
    inventory: DeviceInventory,
    fuller: mock.Mock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = stop_clock(monkeypatch, inventory_module, 10_000.0)
    _add(docroot, "dev1")
    _look(inventory)
    now[0] = 13_599.0
    assert _used(inventory) == 1
    now[0] = 13_600.0
    assert _used(inventory) == 2


def test_nearly_full_device_is_looked_at_ten_times_a_second_at_most(
    inventory: DeviceInventory, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, begun = _dev1(devices), []
    now = stop_clock(monkeypatch, inventory_module, 100.0)
    monkeypatch.setattr(inventory, "_begin_measuring", lambda *about: begun.append(about))
    device.usage.looked_at = 99.75
    inventory.look_soon(device)
    assert begun == [(device, device.usage)]
    device.usage.looked_at, now[0] = 0.0, 0.09
    inventory.look_soon(device)
    now[0] = 0.1
    inventory.look_soon(device)
    assert len(begun) == 2


def test_client_waits_a_fifth_of_a_second_for_a_new_record(
    inventory: DeviceInventory, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = mock.Mock()
    monkeypatch.setattr(inventory, "_begin_measuring", lambda *_: measured)
    device = _dev1(devices)
    inventory._measure_again(device, device.usage)
    measured.wait.assert_called_once_with(0.2)


def test_measuring_says_that_it_is_done(
    docroot: Docroot, inventory: DeviceInventory, devices: Devices
) -> None:
    _add(docroot, "dev1")
    device = _dev1(devices)
    measured = inventory._begin_measuring(device, device.usage)
    assert measured is not None
    assert measured.wait(PATIENCE_S)


def test_want_of_threads_leaves_the_old_record_and_no_lock(
    docroot: Docroot, inventory: DeviceInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    inventory.rescan()
    old = inventory.record(1)
    _change(inventory, b"dev1/x")
    with monkeypatch.context() as patch:
        cannot = mock.Mock(side_effect=RuntimeError("can't start new thread"))
        patch.setattr(threading.Thread, "start", cannot)
        assert inventory.record(1) is old
    assert inventory.record(1) is not old


def test_device_that_hangs_holds_one_asker_only(
    docroot: Docroot, inventory: DeviceInventory, hangs: Hangs
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    hangs.hang(Path(docroot.path, "dev1"))
    _change(inventory, b"dev1/x")
    answers: list[object] = []
    asker = threading.Thread(target=lambda: answers.append(inventory.record(1)), daemon=True)
    asker.start()
    hangs.await_blocked()
    _change(inventory, b"dev1/y")
    assert inventory.record(1) is not None
    assert answers == []
    hangs.release()
    join(asker)
    assert len(answers) == 1


def test_device_that_hangs_in_a_round_answers_from_memory(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, hangs: Hangs
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    hangs.hang(Path(docroot.path, "dev1"))
    job = threading.Thread(
        target=lambda: inventory.refresh(_dev1(devices), write=True), daemon=True
    )
    job.start()
    hangs.await_blocked()
    _change(inventory, b"dev1/x")
    assert inventory.record(1) is not None
    assert inventory.devids() == [1]
    hangs.release()
    join(job)


def test_device_that_comes_back_does_not_wait_for_the_look_that_hung(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, hangs: Hangs
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    path = Path(docroot.path, "dev1")
    hangs.hang(path)
    look = Running(lambda: inventory.refresh(_dev1(devices), write=False))
    hangs.await_blocked()
    path.rename(path.with_name("broken"))
    assert _look(inventory) == []
    path.mkdir()
    assert _look(inventory) == [1]
    record = inventory.record(1)
    hangs.release()
    look.result()
    # What the old look has seen is of the disk that has gone.
    assert inventory.record(1) is record


# Usage files


def test_file_says_what_the_record_says(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    _look(inventory, write=True)
    record = inventory.record(1)
    assert record is not None
    assert _usage(docroot, 1).read_bytes() == record.text()
    assert _usage(docroot, 1).stat().st_mode & 0o7777 == docroot.file_mode


def test_file_without_permissions_stays(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    _usage(docroot, 1).touch()
    _usage(docroot, 1).chmod(0)
    _look(inventory, write=True)
    assert inventory.record(1) is not None
    assert _usage(docroot, 1).stat().st_size == 0
    assert _usage(docroot, 1).stat().st_mode & 0o777 == 0


def test_no_file_where_another_process_writes_it(
    docroot: Docroot, inventory: DeviceInventory
) -> None:
    _add(docroot, "dev1")
    _look(inventory, write=False)
    assert inventory.record(1) is not None
    assert not _usage(docroot, 1).exists()


def test_file_that_cannot_be_written_is_reported_once(
    docroot: Docroot, inventory: DeviceInventory, caplog: pytest.LogCaptureFixture
) -> None:
    _add(docroot, "dev1", "dev2")
    _usage(docroot, 1).mkdir()
    _look(inventory, write=True)
    _look(inventory, write=True)
    reason = f"{os.strerror(errno.EISDIR)} (EISDIR)"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, f"cannot write {_usage(docroot, 1)}: {reason}")
    ]
    # Memory and the other device go on.
    assert inventory.record(1) is not None
    assert _usage(docroot, 2).exists()


def test_trouble_that_comes_back_is_reported_again(
    docroot: Docroot, inventory: DeviceInventory, caplog: pytest.LogCaptureFixture
) -> None:
    _add(docroot, "dev1")
    for _ in range(2):
        _usage(docroot, 1).mkdir()
        _look(inventory, write=True)
        _usage(docroot, 1).rmdir()
        _look(inventory, write=True)
        _usage(docroot, 1).unlink()
    assert len(caplog.records) == 2


def test_file_system_that_refuses_the_file_is_read_only_until_it_takes_one(
    docroot: Docroot,
    inventory: DeviceInventory,
    devices: Devices,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    device = _dev1(devices)
    refuse = mock.Mock(side_effect=OSError(errno.EROFS, "no"))
    seen: list[tuple[bool, int | None]] = []
    for function in (refuse, write_usage, refuse, write_usage):
        monkeypatch.setattr(inventory_module, "write_usage", function)
        _look(inventory, write=True)
        seen.append((device.health.refuses_changes, device.usage.complaint))
    assert seen == [(True, errno.EROFS), (False, None)] * 2
    assert [line for line in caplog.messages if "cannot write" in line] == []


def test_devices_whose_mount_cannot_be_asked_for_count_as_mounted(
    docroot: Docroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    guard = MountGuard(docroot)
    with monkeypatch.context() as patched:
        _fail(patched, "stat", errno.EIO)
        assert not guard.is_unmounted(1)


# Descriptors


@pytest.fixture(params=[errno.EMFILE, errno.ENFILE], ids=errno.errorcode.get)
def scarce(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[bytes]]:
    """Refuse to open the names in the returned list, each once."""
    refused: list[bytes] = []
    real = os.open

    def scarcely_open(path: bytes, *args: int, **kwargs: int) -> int:
        for name in refused:
            if path.startswith(name):
                refused.remove(name)
                raise OSError(request.param, os.strerror(request.param))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", scarcely_open)
    yield refused
    monkeypatch.undo()


@pytest.mark.parametrize("name", [b"dev1/.", b"usage."])
def test_idle_clients_make_room_once(
    docroot: Docroot,
    devices: Devices,
    inventory: DeviceInventory,
    scarce: list[bytes],
    name: bytes,
) -> None:
    _add(docroot, "dev1")
    scarce.append(name)
    relieve = mock.Mock(return_value=True)
    inventory.refresh(_dev1(devices), write=True, relieve=relieve)
    relieve.assert_called_once_with()
    assert inventory.devids() == [1]
    assert _usage(docroot, 1).exists()


def test_idle_clients_make_room_for_the_listing(
    docroot: Docroot, inventory: DeviceInventory, scarce: list[bytes]
) -> None:
    _add(docroot, "dev1")
    scarce.append(b".")
    relieve = mock.Mock(return_value=True)
    assert [device.devid for device in inventory.scan(relieve)] == [1]
    relieve.assert_called_once_with()


def test_want_of_descriptors_does_not_drop_a_device(
    docroot: Docroot,
    devices: Devices,
    inventory: DeviceInventory,
    scarce: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    scarce.extend([b"dev1/."] * 2)
    inventory.refresh(_dev1(devices), write=True, relieve=lambda: False)
    assert inventory.devids() == [1]
    assert "cannot look at" in caplog.text


def test_want_of_memory_is_no_fault_of_the_device(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(docroot, "dev1")
    _look(inventory)
    _fail(monkeypatch, "open", errno.ENOMEM)
    inventory.refresh(_dev1(devices), write=True)
    assert inventory.record_at(b"dev1/usage") is not None


def test_want_of_descriptors_keeps_the_old_file(
    docroot: Docroot,
    devices: Devices,
    inventory: DeviceInventory,
    scarce: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _add(docroot, "dev1")
    scarce.extend([b"usage."] * 2)
    inventory.refresh(_dev1(devices), write=True, relieve=lambda: False)
    assert os.listdir(Path(docroot.path, "dev1")) == []
    assert "cannot write" in caplog.text


def test_looking_leaves_no_descriptor_open(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1", "dev2")
    Path(docroot.path, "dev2").chmod(0)
    _usage(docroot, 1).mkdir()
    before = psutil.Process().num_fds()
    _look(inventory, write=True)
    assert psutil.Process().num_fds() == before


# Devices that should be mounts


def test_device_on_the_docroots_own_file_system_is_left_out(
    docroot: Docroot, devices: Devices, mounts: Mounts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    _add(docroot, "dev1")
    inventory = DeviceInventory(docroot, devices, require_mount=True, mounts=mounts)
    for _ in range(2):
        assert _look(inventory, write=True) == []
    assert inventory.record(1) is None
    with pytest.raises(PermissionError):
        inventory.record_at(b"dev1/usage")
    assert MountGuard(docroot).is_unmounted(1)
    assert not _usage(docroot, 1).exists()
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, f"{docroot.path}/dev1 is not mounted, and left out")
    ]


def test_any_directory_will_do_by_default(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    assert _look(inventory) == [1]


def test_guard_needs_no_scan(docroot: Docroot) -> None:
    _add(docroot, "dev1")
    guard = MountGuard(docroot)
    assert guard.is_unmounted(1)
    # What is not there is not for the guard to report.
    assert not guard.is_unmounted(2)


# Looking without a refresher


def test_rescan_by_itself(docroot: Docroot, inventory: DeviceInventory) -> None:
    _add(docroot, "dev1")
    inventory.rescan()
    assert inventory.devids() == [1]
    assert not _usage(docroot, 1).exists()


# Devices that hang


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes on has done so for too long."""
    monkeypatch.setattr(health, "HANGING_S", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("looks_before", [0, 1], ids=["unknown", "known"])
def test_usage_of_a_device_that_hangs_in_a_look_is_refused(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory, hangs: Hangs, looks_before: int
) -> None:
    _add(docroot, "dev1")
    for _ in range(looks_before):
        inventory.refresh(_dev1(devices), write=True)
    hangs.hang(Path(docroot.path, "dev1"))
    look = Running(lambda: inventory.refresh(_dev1(devices), write=True))
    hangs.await_blocked()
    with pytest.raises(TimeoutError):
        inventory.record_at(b"dev1/usage")
    assert inventory.record_at(b"dev1/other") is None
    assert _dev1(devices).health.hangs()
    assert not devices.of(b"dev2").health.hangs()
    hangs.release()
    look.result()
    assert inventory.record_at(b"dev1/usage") is not None


@pytest.mark.usefixtures("impatient")
def test_device_that_hangs_between_two_rounds_is_found_by_the_first_who_asks(
    docroot: Docroot, inventory: DeviceInventory, hangs: Hangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_module, "_FRESH_S", 0.0)
    _add(docroot, "dev1")
    _look(inventory)
    hangs.hang(Path(docroot.path, "dev1"))
    assert inventory.record_at(b"dev1/usage") is not None
    with pytest.raises(TimeoutError):
        inventory.record_at(b"dev1/usage")
    assert len(hangs.blocked) == 1


def test_usage_of_a_device_that_gives_no_slot_back_is_refused(
    docroot: Docroot, devices: Devices, inventory: DeviceInventory
) -> None:
    """Even of one that was never measured, which has no record."""
    _add(docroot, "dev1")
    _look(inventory)
    devices.register(b"dev7")
    for name in (b"dev1", b"dev7"):
        devices.of(name).health.held_slots = HeldSlots(1, 0)
        with pytest.raises(TimeoutError, match=os.strerror(errno.ETIMEDOUT)) as refused:
            inventory.record_at(name + b"/usage")
        assert refused.value.errno == errno.ETIMEDOUT
        devices.of(name).health.held_slots = None
    assert inventory.record_at(b"dev1/usage") is not None
    assert inventory.record_at(b"dev7/usage") is None
