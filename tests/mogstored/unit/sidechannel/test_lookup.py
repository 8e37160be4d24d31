"""What a command names: a file, or a record in memory that stands for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mogstored.devices.health import HANGING_S
from mogstored.files.disk_errors import DeviceDown, NotMounted
from mogstored.service import Service
from mogstored.sidechannel.lookup import Target
from tests.support.sidechannel_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USAGE = b"/dev1/usage"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        rig.inventory.rescan(HANGING_S)
        yield rig


def record(rig: Rig) -> bytes:
    found = rig.inventory.record(1)
    assert found is not None
    return found.text()


def test_file_is_opened_and_its_device_gets_slots(rig: Rig) -> None:
    (rig.path / "dev7").mkdir()
    rig.write("/dev7/f", b"content")
    assert Target(rig.service, b"/dev7/f").device.name == b""
    opened = Target(rig.service, b"/dev7/f").open()
    assert not isinstance(opened, bytes)
    fd, status = opened
    assert (os.read(fd, 100), status.st_size) == (b"content", 7)
    os.close(fd)
    assert Target(rig.service, b"/dev7/f").device.name == b"dev7"


@pytest.mark.parametrize(
    "mode",
    [
        0o000,
        pytest.param(
            0o001, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root may read it")
        ),
        0o644,
    ],
)
def test_record_stands_for_a_usage_file_without_any_permission(rig: Rig, mode: int) -> None:
    rig.write("/dev1/usage", b"old").chmod(mode)
    target = Target(rig.service, USAGE)
    opened = target.open()
    if mode == 0:
        assert opened == record(rig)
        assert target.size() == len(record(rig))
        return
    assert not isinstance(opened, bytes)
    assert os.read(opened[0], 100) == b"old"
    os.close(opened[0])
    assert target.size() == 3


def test_record_stands_for_a_usage_file_that_is_not_there(rig: Rig) -> None:
    rig.path.joinpath("dev1/usage").unlink(missing_ok=True)
    assert Target(rig.service, USAGE).open() == record(rig)
    assert Target(rig.service, USAGE).size() == len(record(rig))
    for path in (b"/dev1/other", b"/dev9/usage"):
        with pytest.raises(FileNotFoundError):
            Target(rig.service, path).open()
        with pytest.raises(FileNotFoundError):
            Target(rig.service, path).size()


def test_file_whose_status_cannot_be_had_is_closed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.write("/dev1/f", b"content")
    opened: list[int] = []

    def fail(fd: int) -> os.stat_result:
        opened.append(fd)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr("mogstored.sidechannel.lookup.os.fstat", fail)
        with pytest.raises(OSError, match="Input/output"):
            Target(rig.service, b"/dev1/f").open()
    (fd,) = opened
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize("refusal", [DeviceDown, NotMounted])
def test_nothing_is_looked_up_where_a_device_is_of_no_use(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, refusal: type[OSError]
) -> None:
    rig.write("/dev1/f", b"content")
    rig.write("/dev1/usage", b"old")
    if refusal is NotMounted:
        monkeypatch.setattr(Service, "is_unmounted", lambda _self, path: path[:5] == b"dev1/")
    else:
        monkeypatch.setattr(rig.service.devices.of(b"dev1"), "is_down", True)
    target = Target(rig.service, b"/dev1/f")
    for look in (target.size, target.open):
        with pytest.raises(refusal):
            look()
    # The usage file of a device that is down is withheld, by the inventory.
    usage = Target(rig.service, USAGE)
    if refusal is NotMounted:
        assert usage.open() == record(rig)
