"""What hangs, and what a device's health says of it."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from mogstored.devices import health
from mogstored.devices.health import HANGING_S, DeviceState, Health, HeldSlots, is_hung
from tests.support.clock import stop_clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, as its only item."""
    return stop_clock(monkeypatch, health, 1000.0)


@pytest.mark.parametrize(("seconds", "hangs"), [(0, False), (0.99, False), (1, True), (50, True)])
def test_work_that_has_not_moved_for_so_long_hangs(seconds: float, hangs: bool) -> None:
    assert is_hung(7.0, 7.0 + seconds * HANGING_S) is hangs
    assert HANGING_S == 2.0


def test_nothing_is_held_against_a_device_before_its_first_look() -> None:
    device = Health()
    said = [name for name in Health.__slots__ if getattr(device, name, None) is True]
    assert said == ["logs_looks"]
    assert (device.error, device.state()) == (None, DeviceState.OK)


def test_device_hangs_while_a_look_takes_too_long(now: list[float]) -> None:
    device = Health()
    with device.look():
        assert not device.hangs()
        now[0] += HANGING_S
        assert device.hangs()
    assert not device.hangs()


def test_look_that_fails_is_over(now: list[float]) -> None:
    device = Health()
    with pytest.raises(OSError, match="no disk"), device.look():
        raise OSError("no disk")
    now[0] += HANGING_S
    assert not device.hangs()


def test_device_hangs_with_its_slots() -> None:
    device = Health()
    device.held_slots = HeldSlots(1, 0)
    with device.look():
        assert device.hangs()
    assert device.hangs()


# The state, and its lines in the log.


@pytest.fixture
def device() -> Health:
    return Health("/docroot/dev1", "dev1")


class Lines:
    """What a device logs, since it was last asked for."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "mogstored")
        self._caplog = caplog

    def take(self) -> list[str]:
        lines = [
            f"{record.levelname} {record.message.removeprefix('/docroot/dev1 ')}"
            for record in self._caplog.records
        ]
        self._caplog.clear()
        return lines


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


HUNG = "WARNING has not answered for 2 s, and is left out"
SLOTS_HUNG = "WARNING has ended none of its 10 requests for 2 s, and 3 more wait"
ANSWERS = "INFO answers again"
UNMOUNTED, MOUNTED = "WARNING is not mounted, and left out", "INFO is mounted now"
READ_ONLY = "WARNING is read-only: PUT and DELETE are answered with 403"
WRITABLE = "INFO is writable again"


def failed(number: int) -> str:
    reason = f"{os.strerror(number)} ({errno.errorcode[number]})"
    return f"ERROR fails: {reason}; its usage is answered with 500"


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({}, DeviceState.OK),
        ({"is_mounted_read_only": True}, DeviceState.READ_ONLY),
        ({"refuses_changes": True}, DeviceState.READ_ONLY),
        ({"error": errno.EIO, "refuses_changes": True}, DeviceState.FAILED),
        ({"error": errno.EACCES}, DeviceState.UNMOUNTED),
        ({"is_absent": True}, DeviceState.UNMOUNTED),
        ({"is_unmounted": True, "is_mounted_read_only": True}, DeviceState.UNMOUNTED),
        ({"held_slots": HeldSlots(10, 3), "error": errno.EIO}, DeviceState.HUNG),
    ],
)
def test_the_worst_is_the_state(
    device: Health, attributes: dict[str, object], state: DeviceState
) -> None:
    for name, value in attributes.items():
        setattr(device, name, value)
    assert device.state() is state


def test_words_of_the_states() -> None:
    assert set(DeviceState) == {
        *("ok", "read-only", "no-writes", "hung", "failed", "unmounted", "down")
    }


def test_each_change_is_logged_once(device: Health, lines: Lines, now: list[float]) -> None:
    def set_and_log(**attributes: object) -> list[str]:
        for name, value in attributes.items():
            setattr(device, name, value)
        for _ in range(3):
            device.log_change()
        return lines.take()

    assert set_and_log() == []
    assert set_and_log(error=errno.EIO) == [failed(errno.EIO)]
    assert set_and_log(error=errno.ESTALE) == [failed(errno.ESTALE)]
    assert set_and_log(held_slots=HeldSlots(10, 3)) == [SLOTS_HUNG]
    assert set_and_log(held_slots=None) == [failed(errno.ESTALE)]
    assert set_and_log(error=None) == [ANSWERS]
    assert set_and_log(is_unmounted=True, error=errno.EACCES) == [UNMOUNTED]
    assert set_and_log(is_unmounted=False, error=None) == [MOUNTED]
    assert set_and_log(is_absent=True) == [UNMOUNTED]
    assert set_and_log(is_absent=False, is_mounted_read_only=True) == [MOUNTED, READ_ONLY]
    # It has been read-only all the time.
    assert set_and_log(error=errno.EIO) == [failed(errno.EIO)]
    assert set_and_log(error=None) == [ANSWERS]
    assert set_and_log(is_mounted_read_only=False) == [WRITABLE]


def test_look_that_hangs_is_logged_with_its_end(
    device: Health, lines: Lines, now: list[float]
) -> None:
    with device.look():
        device.log_change()
        now[0] += HANGING_S
        device.log_change()
        device.log_change()
        assert lines.take() == [HUNG]
    assert lines.take() == [ANSWERS]


@pytest.mark.parametrize("attributes", [{"error": errno.EACCES}, {"is_absent": True}])
def test_place_that_waits_for_its_first_mount_is_no_news(
    device: Health, lines: Lines, attributes: dict[str, object]
) -> None:
    for name, value in attributes.items():
        setattr(device, name, value)
    device.log_change()
    assert lines.take() == []
    device.error, device.is_absent = None, False
    device.log_change()
    assert lines.take() == [MOUNTED]


def test_refusal_counts_until_a_change_succeeds(device: Health, lines: Lines) -> None:
    device.note_refusal()
    device.note_refusal()
    assert lines.take() == [READ_ONLY]
    # The mount looks as before: it says nothing about it.
    device.note_mount(is_read_only=False)
    device.log_change()
    assert device.state() is DeviceState.READ_ONLY
    device.note_change()
    assert lines.take() == [WRITABLE]


def test_refusal_counts_until_the_file_system_is_mounted_anew(
    device: Health, lines: Lines
) -> None:
    device.note_refusal()
    device.note_mount(is_read_only=True)
    device.note_mount(is_read_only=False)
    device.log_change()
    assert lines.take() == [READ_ONLY, WRITABLE]


def test_only_one_process_logs_what_looks_find(
    device: Health, lines: Lines, now: list[float]
) -> None:
    device.logs_looks = False
    device.note_refusal()
    device.error = errno.EIO
    with device.look():
        now[0] += HANGING_S
        device.log_change()
        assert device.state() is DeviceState.HUNG
    assert lines.take() == []
    # Each process has slots of its own.
    device.held_slots = HeldSlots(10, 3)
    device.log_change()
    device.held_slots = None
    device.log_change()
    assert lines.take() == [SLOTS_HUNG, ANSWERS]


def test_fields_of_the_lines(device: Health, caplog: pytest.LogCaptureFixture) -> None:
    device.error = errno.EIO
    device.log_change()
    (record,) = caplog.records
    fields = {name: record.__dict__[name] for name in ("device", "path", "state", "errno")}
    assert fields == {"device": "dev1", "path": "/docroot/dev1", "state": "failed", "errno": "EIO"}
