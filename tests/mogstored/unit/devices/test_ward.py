"""Devices are used as the record says, by all processes; checks bring them back."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mogstored.check_disks.exercise import Result
from mogstored.devices.device import Device, Devices
from mogstored.devices.health import DeviceState
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.sickness import ward as ward_module
from mogstored.devices.sickness.record import StandingRecord
from mogstored.devices.sickness.standing import WELL, Entry, Standing, ask_for_check, order
from mogstored.devices.sickness.symptoms import ErrorLimits
from mogstored.devices.sickness.ward import Ward, _log_change
from mogstored.files.disk_errors import Attempt, DeviceDown
from mogstored.files.state_dir import StateDir
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogstored.files.docroot import Docroot


class Checks:
    """In the place of the check: counts, and fails or hangs on demand."""

    def __init__(self) -> None:
        self.count = 0
        self.failure = ""
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, _directory: str, size: int) -> Result:
        self.count += 1
        self.go_on.wait()
        return Result(size, failed="sync" if self.failure else "", reason=self.failure)


class Process:
    """What a serving process has of one docroot."""

    def __init__(self, docroot: Docroot, checks: Checks, now: list[float], leads: bool) -> None:
        limits = ErrorLimits(error_write_limit=3, error_read_limit=3)
        self.devices = Devices(docroot, lambda _task: None, limits=limits)
        self.inventory = DeviceInventory(docroot, self.devices)
        self.ward = Ward(
            [(docroot, self.devices)], leads=leads, exercise=checks, clock=lambda: now[0]
        )
        self.ward.start()

    def device(self, name: bytes = b"dev1") -> Device:
        device = self.devices.find(name)
        assert device is not None
        return device

    def fail(self, operation: str, count: int = 3, name: str = "dev1") -> None:
        for each in range(count):
            attempt = Attempt(operation, "PUT", f"{name}/{each}".encode(), "client")
            error = OSError(errno.EIO, os.strerror(errno.EIO))
            self.device(name.encode()).note_error(attempt, error)

    def await_state(self, state: DeviceState, name: bytes = b"dev1") -> None:
        def is_reached() -> bool:
            self.ward.look()
            device = self.device(name)
            return device.health.state() is state and device.entry.standing.value == state.value

        wait_until(is_reached, f"{name!r} is {state}")


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def checks() -> Iterator[Checks]:
    checks = Checks()
    yield checks
    checks.go_on.set()


@pytest.fixture
def begin(docroot: Docroot, checks: Checks, now: list[float]) -> Iterator[Callable[..., Process]]:
    begun: list[Process] = []
    for devid in (1, 2):
        Path(docroot.path, f"dev{devid}").mkdir()

    def begin(leads: bool = True) -> Process:
        begun.append(Process(docroot, checks, now, leads))
        return begun[-1]

    yield begin
    checks.go_on.set()
    for process in begun:
        process.ward.stop()


@pytest.fixture
def record(docroot: Docroot) -> StandingRecord:
    return StandingRecord(StateDir(docroot))


def test_write_errors_end_writes_at_once_and_are_recorded(
    begin: Callable[..., Process], record: StandingRecord, caplog: pytest.LogCaptureFixture
) -> None:
    process = begin()
    with caplog.at_level(logging.INFO, "mogstored"):
        process.fail("write", 2)
        assert process.device().takes_files
        process.fail("write")
        assert not process.device().takes_files
        assert not process.device().is_down
        process.await_state(DeviceState.NO_WRITES)
        wait_until(lambda: "gets no new files" in caplog.text, "the change is logged")
    entries = record.read()
    assert entries is not None
    assert entries["dev1"].standing is Standing.NO_WRITES
    assert process.device(b"dev2").takes_files
    line = (
        f"{process.device()} gets no new files: 3 write errors in 60 s, last Input/output error"
        " (EIO); PUT is answered with 507; the next check is in 60 s"
    )
    assert [each for each in caplog.messages if "dev1" in each] == [line]


def test_read_errors_take_a_device_down(begin: Callable[..., Process]) -> None:
    process = begin()
    process.inventory.rescan()
    process.fail("read")
    process.await_state(DeviceState.DOWN)
    with pytest.raises(DeviceDown):
        process.inventory.record_at(b"dev1/usage")
    assert process.inventory.devids() == [2]


def test_own_changes_are_seen_where_the_record_looks_as_before(
    begin: Callable[..., Process], now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times of files can be coarse."""
    monkeypatch.setattr(StandingRecord, "stamp", lambda _: (1, 1, 1))
    process = begin()
    process.fail("read")
    process.await_state(DeviceState.DOWN)
    now[0] += 60
    process.await_state(DeviceState.OK)


def test_device_that_is_down_is_not_looked_at(
    begin: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin()
    process.inventory.rescan()
    process.fail("read")
    looked_at = process.device().usage.looked_at
    process.inventory.refresh(process.device(), write=True)
    process.inventory.look_soon(process.device())
    assert process.device().usage.looked_at == looked_at
    assert not Path(process.device().path, "usage").exists()


def test_device_without_writes_is_full_for_trackers(begin: Callable[..., Process]) -> None:
    process = begin()
    process.inventory.rescan()
    before = process.inventory.record_at(b"dev1/usage")
    process.fail("write")
    after = process.inventory.record_at(b"dev1/usage")
    assert before is not None
    assert after is not None
    fill = after.fill
    assert (fill.available_kib, fill.use_percent) == (0, 100)
    # Trackers subtract these.
    assert fill.total_kib == fill.used_kib > 0
    process.inventory.refresh(process.device(), write=True)
    assert b"available: 0\n" in Path(process.device().path, "usage").read_bytes()
    # The metrics go on showing what is there.
    record = process.device().usage.record
    assert record is not None
    assert record.fill.available_kib > 0


def test_all_processes_follow_one_of_them(
    begin: Callable[..., Process], checks: Checks, now: list[float]
) -> None:
    leader, other = begin(), begin(leads=False)
    other.fail("write")
    leader.await_state(DeviceState.NO_WRITES)
    now[0] += 60
    leader.await_state(DeviceState.OK)
    other.await_state(DeviceState.OK)
    assert checks.count == 1


def test_state_survives_the_process(begin: Callable[..., Process]) -> None:
    first = begin()
    first.fail("read")
    first.await_state(DeviceState.DOWN)
    first.ward.stop()
    # Before anything has looked at a disk.
    assert begin().device().is_down


def test_check_is_repeated_with_growing_intervals_until_it_succeeds(
    begin: Callable[..., Process],
    checks: Checks,
    now: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    process, checks.failure = begin(), "broken"
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    with caplog.at_level(logging.INFO, "mogstored"):
        for number, wait_s in enumerate((60, 120, 240), 1):
            now[0] += wait_s - 1
            process.ward.look()
            assert checks.count == number - 1
            now[0] += 1
            wait_until(
                partial(_is_checked, process, number),
                f"check {number} is on record",
            )
            assert checks.count == number
        checks.failure = ""
        now[0] += 480
        process.await_state(DeviceState.OK)
        wait_until(lambda: "used again" in caplog.text, "the change is logged")
    name = str(process.device())
    lines = [each for each in caplog.messages if each.startswith(name)]
    assert lines[1:] == [
        f"{name}: the check failed at sync: broken; the next check is in 120 s",
        f"{name}: the check failed at sync: broken; the next check is in 240 s",
        f"{name}: the check failed at sync: broken; the next check is in 480 s",
        f"{name} is used again: a check succeeded",
    ]


def _is_checked(process: Process, number: int) -> bool:
    process.ward.look()
    return bool(process.device().entry.wait_s == 60 * 2**number)


def test_check_that_hangs_keeps_only_itself(
    begin: Callable[..., Process],
    checks: Checks,
    now: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = begin()
    checks.go_on.clear()
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    now[0] += 60

    def is_logged() -> bool:
        process.ward.look()
        return any(each.endswith("dev1: the check hangs") for each in caplog.messages)

    wait_until(is_logged, "the check that hangs is logged")
    process.fail("write", name="dev2")
    process.await_state(DeviceState.NO_WRITES, b"dev2")
    assert checks.count == 1
    checks.go_on.set()
    process.await_state(DeviceState.OK)
    assert sum(each.endswith("the check hangs") for each in caplog.messages) == 1


WAITING = Entry(standing=Standing.NO_WRITES, cause="bad", since=5.0, wait_s=60.0, check_at=70.0)
SOON = "the next check is in 60 s"
DECIDED = "the operator decides what follows"


@pytest.mark.parametrize(
    ("before", "entry", "line"),
    [
        (
            WELL,
            WAITING,
            "WARNING dev1 gets no new files: bad; PUT is answered with 507; " + SOON,
        ),
        (
            WAITING,
            order(Standing.DOWN, 9.0),
            f"ERROR dev1 is down: by the operator; its requests are answered with 500; {DECIDED}",
        ),
        (
            order(Standing.DOWN, 9.0),
            order(Standing.OK, 9.5),
            "INFO dev1 is used again: by the operator",
        ),
        (WAITING, WELL, "INFO dev1 is used again: its record has gone"),
        (WELL, order(Standing.OK, 9.0), None),
        (
            WAITING,
            replace(WAITING, last_check="sync: broken", check_at=1.0),
            "WARNING dev1: the check failed at sync: broken; the next check is in 0 s",
        ),
        (
            replace(WAITING, check_at=None),
            replace(WAITING, check_at=None, last_check="sync: broken"),
            f"WARNING dev1: the check failed at sync: broken; {DECIDED}",
        ),
        (WAITING, replace(WAITING, wait_s=90.0), None),
        (
            replace(WAITING, last_check="sync: broken"),
            ask_for_check(replace(WAITING, last_check="sync: broken")),
            None,
        ),
    ],
)
def test_changes_are_logged(
    docroot: Docroot,
    caplog: pytest.LogCaptureFixture,
    before: Entry,
    entry: Entry,
    line: str | None,
) -> None:
    caplog.set_level(logging.DEBUG, "mogstored")
    Path(docroot.path, "dev1").mkdir()
    device = Devices(docroot, lambda _task: None).of(b"dev1")
    device.enter_in(entry)
    _log_change(device, before, entry, 10.0)
    shown = [f"{each.levelname} {each.message}" for each in caplog.records]
    assert shown == ([] if line is None else [line.replace("dev1", str(device))])
    fields = {"device": "dev1", "path": str(device), "state": entry.standing.value}
    assert all(fields.items() <= each.__dict__.items() for each in caplog.records)


@pytest.mark.parametrize(
    ("failed", "took_s", "failure"),
    [
        ("", 30.0, None),
        ("", 30.6, "it took 31 s"),
        ("sync", 31.0, "sync: broken"),
    ],
)
def test_check_that_takes_long_has_failed(
    docroot: Docroot,
    record: StandingRecord,
    monkeypatch: pytest.MonkeyPatch,
    failed: str,
    took_s: float,
    failure: str | None,
) -> None:
    Path(docroot.path, "dev1").mkdir()
    devices = Devices(docroot, lambda _task: None)
    clock = iter([100.0, 100.0 + took_s])
    monkeypatch.setattr(ward_module, "monotonic", lambda: next(clock))
    checked = []

    def exercise(path: str, size: int) -> Result:
        checked.append((path, size))
        return Result(size, failed=failed, reason="broken" if failed else "")

    ward = Ward([(docroot, devices)], leads=True, exercise=exercise, clock=lambda: 70.0)
    record.change({"dev1": lambda _: WAITING})
    devices.of(b"dev1").enter_in(WAITING)
    (room,) = ward._rooms
    room.is_in_memory = True
    ward._check(room, devices.of(b"dev1"))
    # It is on record: the file need not be read again until it changes.
    assert not room.is_in_memory
    assert checked == [(f"{docroot.path}/dev1", 1024 * 1024)]
    entries = record.read()
    assert entries is not None
    entry = entries["dev1"]
    if failure is None:
        assert (entry.standing, entry.since) == (Standing.OK, 70.0)
    else:
        assert (entry.last_check, entry.check_at) == (failure, 190.0)


def test_requests_that_wait_for_a_device_that_is_down_are_cancelled(
    begin: Callable[..., Process], record: StandingRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, cancelled = begin(), []
    monkeypatch.setattr(Device, "parked", lambda device: [device.name])
    monkeypatch.setattr(Device, "cancel", lambda _, tasks: cancelled.append(tasks))
    record.change({"dev1": lambda _: order(Standing.NO_WRITES, 1.0)})
    process.await_state(DeviceState.NO_WRITES)
    assert cancelled == []
    record.change({"dev1": lambda _: order(Standing.DOWN, 2.0)})
    process.await_state(DeviceState.DOWN)
    wait_until(lambda: cancelled == [{b"dev1"}], "they are cancelled")


def test_follower_leaves_log_checks_and_a_damaged_record_to_the_leader(
    begin: Callable[..., Process],
    docroot: Docroot,
    record: StandingRecord,
    now: list[float],
    checks: Checks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    process = begin(leads=False)
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    now[0] += 60
    (room,) = process.ward._rooms
    path = Path(docroot.path, ".mogstored", "devices.json")
    path.write_bytes(b"\0" * 100)
    process.ward._follow(room)
    assert room.stamp == record.stamp()
    assert path.read_bytes() == b"\0" * 100
    assert not process.device().takes_files
    assert checks.count == 0
    assert [each for each in caplog.messages if "devices.json" not in each] == []


def test_operator_decides_over_a_check_under_way(
    begin: Callable[..., Process], checks: Checks, now: list[float], record: StandingRecord
) -> None:
    process = begin()
    checks.go_on.clear()
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    now[0] += 60
    process.ward.look()
    wait_until(lambda: checks.count == 1, "a check is under way")
    record.change({"dev1": lambda _: order(Standing.DOWN, now[0])})
    process.await_state(DeviceState.DOWN)
    stamp = record.stamp()
    checks.go_on.set()
    wait_until(lambda: record.stamp() != stamp, "the end of the check is on record")
    process.await_state(DeviceState.DOWN)


@pytest.mark.parametrize("standing", [Standing.NO_WRITES, Standing.DOWN])
def test_operator_s_orders_last_until_the_operator_asks(
    begin: Callable[..., Process],
    checks: Checks,
    now: list[float],
    record: StandingRecord,
    standing: Standing,
) -> None:
    process = begin()
    record.change({"dev2": lambda _: order(standing, now[0])})
    process.await_state(DeviceState(standing.value), b"dev2")
    now[0] += 1e6
    process.ward.look()
    assert checks.count == 0
    record.change({"dev2": ask_for_check})
    process.await_state(DeviceState.OK, b"dev2")
    assert checks.count == 1


def test_operator_ends_it(
    begin: Callable[..., Process], record: StandingRecord, now: list[float], checks: Checks
) -> None:
    process = begin()
    process.fail("read")
    process.await_state(DeviceState.DOWN)
    record.change({"dev1": lambda _: order(Standing.OK, now[0])})
    process.await_state(DeviceState.OK)
    assert checks.count == 0


def test_thread_follows_until_it_is_stopped(
    begin: Callable[..., Process], record: StandingRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ward_module, "_INTERVAL_S", 0.001)
    process = begin()
    record.change({"dev1": lambda _: order(Standing.DOWN, 1.0)})
    wait_until(lambda: process.device().is_down, "the thread has looked")
    process.ward.stop()
    assert process.ward._thread is not None
    assert not process.ward._thread.is_alive()
    Ward([], leads=True).stop()


def test_thread_looks_once_a_second_and_is_waited_for_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ward, waits = Ward([], leads=True), []

    def wait(interval_s: float) -> bool:
        waits.append(interval_s)
        return True

    monkeypatch.setattr(ward._stopping, "wait", wait)
    monkeypatch.setattr(ward._jobs, "stop", waits.append)
    ward._run()
    ward.stop()
    assert waits == [1.0, 1.0]


def test_record_that_is_removed_ends_it(begin: Callable[..., Process], docroot: Docroot) -> None:
    process = begin()
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    Path(docroot.path, ".mogstored", "devices.json").unlink()
    process.await_state(DeviceState.OK)


def test_damaged_record_is_written_anew(begin: Callable[..., Process], docroot: Docroot) -> None:
    process = begin()
    process.fail("read")
    process.await_state(DeviceState.DOWN)
    path = Path(docroot.path, ".mogstored", "devices.json")
    path.write_bytes(b"\0" * 100)

    def is_whole() -> bool:
        process.ward.look()
        return b"\0" not in path.read_bytes()

    wait_until(is_whole, "the record is whole")
    assert json.loads(path.read_bytes())["devices"]["dev1"]["state"] == "down"
    assert process.device().is_down


def test_damaged_record_at_the_start_takes_nothing_out_of_use(
    begin: Callable[..., Process], docroot: Docroot
) -> None:
    Path(docroot.path, ".mogstored").mkdir()
    Path(docroot.path, ".mogstored", "devices.json").write_bytes(b"{")
    process = begin()
    assert process.device().takes_files
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)


def test_docroot_that_takes_no_files(
    begin: Callable[..., Process], docroot: Docroot, now: list[float]
) -> None:
    Path(docroot.path, ".mogstored").write_bytes(b"in the way")
    process = begin()
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    now[0] += 60
    process.await_state(DeviceState.OK)


def test_device_that_comes_later_is_used_as_recorded(
    begin: Callable[..., Process], docroot: Docroot, record: StandingRecord
) -> None:
    record.change({"dev3": lambda _: order(Standing.DOWN, 1.0)})
    process = begin()
    Path(docroot.path, "dev3").mkdir()
    process.inventory.scan()
    process.await_state(DeviceState.DOWN, b"dev3")


def test_file_system_that_is_writable_again_is_checked_at_once(
    begin: Callable[..., Process], checks: Checks
) -> None:
    process = begin()
    process.device().health.note_mount(is_read_only=True)
    process.fail("write")
    process.await_state(DeviceState.NO_WRITES)
    process.device().health.note_mount(is_read_only=False)
    process.await_state(DeviceState.OK)
    assert checks.count == 1
