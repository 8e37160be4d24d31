"""What errors and decisions make of a device, and which device a path lies on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mogstored.devices.device import Device, Devices
from mogstored.devices.shares import Shares
from mogstored.devices.sickness.standing import Entry, Standing
from mogstored.devices.sickness.symptoms import ErrorLimits
from mogstored.files.disk_errors import Attempt

if TYPE_CHECKING:
    from mogstored.files.docroot import Docroot

WRITE = Attempt("write", "PUT", b"dev1/a", "client")
READ = Attempt("read", "GET", b"dev1/a", "client")


@pytest.fixture
def devices(docroot: Docroot) -> Devices:
    for name in ("dev1", "dev2", "other"):
        Path(docroot.path, name).mkdir()
    limits = ErrorLimits(error_write_limit=1, error_read_limit=1)
    return Devices(docroot, lambda _task: None, limits=limits, logs_looks=False)


@pytest.fixture
def device(devices: Devices) -> Device:
    return devices.of(b"dev1/x")


def error(number: int = errno.EIO) -> OSError:
    return OSError(number, os.strerror(number))


def used_for(device: Device) -> tuple[bool, bool, Standing]:
    return device.is_down, device.takes_files, device.health.standing


def illness(device: Device) -> tuple[Standing, str] | None:
    return device.fell_ill


def test_errors_are_counted_and_take_the_device_out_of_use(device: Device) -> None:
    device.note_error(WRITE, error(errno.ENOSPC))
    assert illness(device) is None
    device.usage.is_dirty = False
    device.note_error(WRITE, error())
    assert used_for(device) == (False, False, Standing.NO_WRITES)
    first = illness(device)
    assert first == (Standing.NO_WRITES, "1 write errors in 60 s, last Input/output error (EIO)")
    assert device.usage.is_dirty
    device.note_error(WRITE, error(errno.ENXIO))
    assert illness(device) is first, "it takes no files already"
    device.note_error(READ, error())
    assert used_for(device) == (True, False, Standing.DOWN)
    worst = illness(device)
    device.note_error(READ, error(errno.EROFS))
    assert illness(device) is worst, "it is down already"
    assert device.errors.counts() == {
        ("write", "ENOSPC"): 1,
        ("write", "EIO"): 1,
        ("read", "EIO"): 1,
        ("read", "EROFS"): 1,
    }
    assert device.health.refuses_changes


def test_what_lies_on_no_device_cannot_fall_ill(devices: Devices) -> None:
    elsewhere = devices.of(b"other/x")
    elsewhere.note_error(READ, error())
    assert illness(elsewhere) is None
    assert elsewhere.errors.counts() == {("read", "EIO"): 1}


def test_decision_is_followed_and_errors_are_counted_anew(docroot: Docroot) -> None:
    Path(docroot.path, "dev1").mkdir()
    limits = ErrorLimits(error_write_limit=2, error_read_limit=2)
    device = Devices(docroot, lambda _task: None, limits=limits).of(b"dev1")
    device.note_error(WRITE, error())
    for standing in (Standing.DOWN, Standing.NO_WRITES, Standing.OK):
        entry = Entry(standing=standing, cause="x")
        device.usage.is_dirty = False
        device.enter_in(entry)
        assert device.entry is entry
        assert used_for(device) == (
            *(standing is Standing.DOWN, standing is Standing.OK),
            standing,
        )
        assert device.usage.is_dirty
    device.note_error(WRITE._replace(path=b"dev1/b"), error())
    assert illness(device) is None


def test_change_of_a_file_makes_the_record_old_and_ends_a_refusal(device: Device) -> None:
    device.usage.is_dirty = False
    device.health.note_refusal()
    device.note_change()
    assert device.usage.is_dirty
    assert not device.health.refuses_changes
    device.health.note_refusal()
    device.note_change()
    assert not device.health.refuses_changes, "also when it was old before"


def test_device_of_a_path(devices: Devices, docroot: Docroot) -> None:
    found = [
        devices.of(path).label for path in (b"dev1", b"dev1/a/b", b"./dev2/x", b"dev3/x", b"other")
    ]
    assert found == ["dev1", "dev1", "dev2", "", ""]
    assert devices.find(b"dev2") is devices.of(b"dev2/x")
    assert devices.find(b"dev2/x") is None
    assert str(devices.of(b"dev2/x")) == devices.of(b"dev2").path == f"{docroot.path}/dev2"
    assert str(devices.of(b"other")) == docroot.path
    assert (devices.of(b"dev2").devid, devices.of(b"other").devid) == (2, None)


def test_only_names_of_devices_are_registered_and_once(devices: Devices) -> None:
    before = devices.of(b"dev1")
    for path in (b"dev1/x", b"dev20/x", b"dev3/x", b"dev01/x", b"other/x"):
        devices.register(path)
    assert devices.of(b"dev1") is before
    assert [device.label for device in devices.known()] == ["dev1", "dev2", "dev3", "dev20"]
    assert devices.count() == 4
    assert [device.label for device in devices.everything()] == [
        "dev1",
        "dev2",
        "dev3",
        "dev20",
        "",
    ]
    assert not any(device.health.logs_looks for device in devices.everything())


def test_shares_hold_for_all_devices(devices: Devices) -> None:
    seen: list[tuple[str, Shares]] = []
    shares = Shares(1, 0, 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Device, "resize", lambda device, to: seen.append((device.label, to)))
        devices.resize(shares)
    assert seen == [(label, shares) for label in ("dev1", "dev2", "")]
