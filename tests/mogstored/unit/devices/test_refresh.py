"""Rounds over all devices, with some of them hanging."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from mogstored.devices import health, refresh
from mogstored.devices.device import Device, Devices
from mogstored.devices.health import HANGING_S
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.refresh import Refresher, Subject
from mogstored.files.docroot import Docroot
from mogstored.keyed_jobs import KeyedJobs
from tests.mogstored.unit.devices.conftest import Hangs
from tests.support.threads import join
from tests.support.waiting import PATIENCE, PATIENCE_S, promptly, wait_until

LONG_S = 3600.0


class Service:
    """A docroot with what is known of it."""

    def __init__(self, docroot: Docroot) -> None:
        self.docroot = docroot
        self.devices = Devices(docroot, lambda _task: None)
        self.inventory = DeviceInventory(docroot, self.devices)

    def add(self, *devids: int) -> list[Path]:
        paths = [Path(self.docroot.path, f"dev{devid}") for devid in devids]
        for path in paths:
            path.mkdir()
        return paths

    def usage(self, devid: int) -> Path:
        return Path(self.docroot.path, f"dev{devid}", "usage")

    def hangs(self, devid: int) -> bool:
        return self.devices.of(b"dev%d" % devid).health.hangs()


@pytest.fixture
def service(docroot: Docroot) -> Service:
    return Service(docroot)


Begin = Callable[..., Refresher]


@pytest.fixture
def begin(hangs: Hangs) -> Iterator[Begin]:
    """Make refreshers that are stopped in the end, with all their threads."""
    made: list[Refresher] = []

    def begin(*services: Service, interval_s: float = LONG_S, writes: bool = True) -> Refresher:
        inventories = [service.inventory for service in services]
        made.append(Refresher(inventories, interval_s=interval_s, writes_files=writes))
        return made[-1]

    yield begin
    hangs.release()
    for refresher in made:
        refresher.stop()
    wait_until(lambda: not _threads(), "no thread is left")


@pytest.fixture
def impatient(service: Service, hangs: Hangs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs has done so for long at once, and what is merely slow never does."""

    def hung(jobs: KeyedJobs[Subject]) -> set[Subject]:
        running = jobs._running.copy()
        return {key for key in running if hangs.holds(Path(str(key)))}

    monkeypatch.setattr(KeyedJobs, "hung", hung)
    monkeypatch.setattr(health, "HANGING_S", 0.0)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("refresh")]


def test_first_round_writes_all_files_before_it_returns(service: Service, begin: Begin) -> None:
    service.add(1, 2, 3)
    begin(service).start_first_round(10)
    assert service.inventory.devids() == [1, 2, 3]
    for devid in (1, 2, 3):
        record = service.inventory.record(devid)
        assert record is not None
        assert service.usage(devid).read_bytes() == record.text()


def test_first_round_without_any_device(service: Service, begin: Begin) -> None:
    begin(service).start_first_round(10)
    assert service.inventory.devids() == []


def test_no_files_from_other_than_the_first_worker(service: Service, begin: Begin) -> None:
    service.add(1)
    begin(service, writes=False).start_first_round(10)
    assert service.inventory.record(1) is not None
    assert not service.usage(1).exists()


def test_nothing_runs_when_there_is_nothing_to_refresh(begin: Begin) -> None:
    refresher = begin()
    refresher.start_first_round(10)
    refresher.start()
    assert _threads() == []


def test_found_devices_get_slots(service: Service, begin: Begin) -> None:
    service.add(7)
    assert service.devices.of(b"dev7/x").name == b""
    begin(service).start_first_round(10)
    assert service.devices.of(b"dev7/x").name == b"dev7"


def test_device_that_hangs_does_not_hold_up_the_first_round(
    service: Service, begin: Begin, hangs: Hangs, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    first, *_ = service.add(*range(20))
    hangs.hang(first)
    begin(service).start_first_round(10)
    assert service.inventory.devids() == list(range(1, 20))
    assert service.hangs(0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(r"/dev0 has not answered for .* s, and is left out$", record.message)


def test_first_round_gives_up_in_time(service: Service, begin: Begin, hangs: Hangs) -> None:
    hangs.hang(*service.add(1))
    began = time.monotonic()
    begin(service).start_first_round(0.05)
    assert time.monotonic() - began < HANGING_S


def test_round_without_threads_is_given_up_in_time(
    service: Service, begin: Begin, hangs: Hangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that waits for a thread does not count as one that hangs."""
    monkeypatch.setattr(refresh, "_ROUND_S", 0.05)
    monkeypatch.setattr(KeyedJobs, "hung", lambda _jobs: set())
    hangs.hang(*service.add(1))
    began = time.monotonic()
    begin(service).start_first_round(PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S / 2


def test_device_that_hangs_is_left_out_and_warned_of_once(
    service: Service, begin: Begin, hangs: Hangs, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    hanging, _ = service.add(1, 2)
    refresher = begin(service)
    refresher.start_first_round(10)
    hangs.hang(hanging)
    for _ in range(3):
        service.usage(2).unlink()
        refresher.start_first_round(10)
        assert service.usage(2).exists()
    assert len(hangs.blocked) == 1
    assert len(caplog.records) == 1
    # What was known of it still is.
    assert service.inventory.devids() == [1, 2]
    assert service.inventory.record(1) is not None


def test_device_that_answers_again_is_taken_back(
    service: Service, begin: Begin, hangs: Hangs, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    hangs.hang(*service.add(1))
    refresher = begin(service)
    refresher.start_first_round(10)
    assert service.hangs(1)
    hangs.release()
    wait_until(lambda: not service.hangs(1), "it answers")
    refresher.start_first_round(10)
    assert service.inventory.devids() == [1]
    assert caplog.records[-1].message.endswith("answers again")


def test_docroot_that_hangs_is_in_the_log_once_and_answers_again(
    service: Service,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    gate = threading.Event()

    def scan(_relieve: object) -> list[Device]:
        gate.wait()
        return []

    monkeypatch.setattr(KeyedJobs, "hung", lambda jobs: set(jobs._running.copy()))
    monkeypatch.setattr(service.inventory, "scan", scan)
    refresher = begin(service)
    for _ in range(2):
        refresher.start_first_round(10)
    lines = [f"{record.levelname} {record.message}" for record in caplog.records]
    gate.set()
    path = service.docroot.path
    assert lines == [f"WARNING {path} has not answered for 2 s, and is left out"]
    wait_until(lambda: caplog.messages[1:] == [f"{path} answers again"], "it answers")


@pytest.mark.parametrize(
    ("took_s", "is_awaited", "rests"),
    [(0.0, False, [0.0]), (0.0005, False, [0.001]), (5.0, False, [0.002]), (5.0, True, [])],
)
def test_thread_rests_after_each_device_unless_it_is_waited_for(
    service: Service,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    took_s: float,
    is_awaited: bool,
    rests: list[float],
) -> None:
    service.add(1)
    service.inventory.scan()
    refresher = begin(service)
    rested: list[float] = []
    clock = iter([100.0, 100.0 + took_s])
    monkeypatch.setattr(service.inventory, "refresh", mock.Mock())
    monkeypatch.setattr(refresh, "time", mock.Mock(monotonic=lambda: next(clock)))
    monkeypatch.setattr(refresher._stopping, "wait", rested.append)
    refresher._awaited = int(is_awaited)
    refresher._refresh(service.inventory, service.devices.of(b"dev1"))
    assert rested == pytest.approx(rests)


def test_rounds_are_rested_in_again_after_one_that_was_waited_for(
    service: Service, begin: Begin
) -> None:
    refresher = begin(service)
    refresher.start_first_round(10)
    assert refresher._awaited == 0


def test_many_devices_hang_and_all_others_are_served(
    service: Service, begin: Begin, hangs: Hangs, impatient: None
) -> None:
    paths = service.add(*range(40))
    hangs.hang(*paths[:12])
    begin(service).start_first_round(20)
    assert service.inventory.devids() == list(range(12, 40))


def test_one_thread_does_for_healthy_devices(service: Service, begin: Begin) -> None:
    service.add(*range(30))
    begin(service).start_first_round(10)
    assert len(_threads()) <= 2


def test_rounds_go_on(service: Service, begin: Begin) -> None:
    service.add(1)
    refresher = begin(service, interval_s=0.01)
    refresher.start_first_round(10)
    refresher.start()
    for _ in range(3):
        service.usage(1).unlink()
        wait_until(service.usage(1).exists, "the file is written again")


def test_interval_counts_from_the_end_of_a_round(
    service: Service, begin: Begin, hangs: Hangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, scans = service.inventory.scan, []

    def timed_scan(relieve: None) -> list[Device]:
        scans.append(time.monotonic())
        return scan(relieve)

    monkeypatch.setattr(service.inventory, "scan", timed_scan)
    hangs.hang(*service.add(1))
    interval_s = 0.05
    begin(service, interval_s=interval_s).start()
    hangs.await_blocked()
    still_running_at = time.monotonic()
    hangs.release()
    wait_until(lambda: len(scans) > 1, "the next round")
    assert scans[1] - still_running_at >= interval_s


def test_unreadable_docroot_is_reported(
    service: Service,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_relieve: object) -> list[int]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(service.inventory, "scan", fail)
    begin(service).start_first_round(10)
    assert caplog.messages == [f"cannot list {service.docroot.path}: Permission denied (EACCES)"]


def test_known_devices_are_looked_at_while_the_docroot_cannot_be_read(
    service: Service, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add(1)
    refresher = begin(service)
    refresher.start_first_round(10)
    service.usage(1).unlink()
    monkeypatch.setattr(service.inventory, "scan", mock.Mock(side_effect=OSError(5, "EIO")))
    refresher.start_first_round(10)
    assert service.usage(1).exists()


# Rescans, as for a new watcher


def test_rescan_finds_what_is_there_now(service: Service, begin: Begin) -> None:
    refresher = begin(service)
    refresher.start_first_round(10)
    refresher.start()
    service.add(666)
    service.inventory.rescan()
    assert service.inventory.devids() == [666]
    assert service.usage(666).exists()


def test_rescan_does_not_wait_for_a_device_that_hangs(
    service: Service, begin: Begin, hangs: Hangs, impatient: None
) -> None:
    refresher = begin(service)
    hangs.hang(*service.add(1))
    refresher.start_first_round(10)
    service.add(2)
    service.inventory.rescan()
    assert service.inventory.devids() == [2]


def test_rescan_keeps_its_time(service: Service, begin: Begin, hangs: Hangs) -> None:
    begin(service)
    hangs.hang(*service.add(1))
    began = time.monotonic()
    service.inventory.rescan(0.05)
    assert time.monotonic() - began < HANGING_S


def test_rescan_touches_its_own_service_only(
    service: Service, tmp_path: Path, begin: Begin
) -> None:
    (tmp_path / "other").mkdir()
    docroot = Docroot(str(tmp_path / "other"))
    other = Service(docroot)
    begin(service, other)
    service.add(1)
    other.add(1)
    service.inventory.rescan()
    assert (service.inventory.devids(), other.inventory.devids()) == ([1], [])
    docroot.close()


def test_many_rescans_share_their_rounds(
    service: Service, begin: Begin, hangs: Hangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = []
    gate = threading.Event()
    scan = service.inventory.scan

    def slow_scan(relieve: None) -> list[Device]:
        scans.append(1)
        gate.wait()
        return scan(relieve)

    monkeypatch.setattr(service.inventory, "scan", slow_scan)
    begin(service)
    found = []

    def watch() -> None:
        service.inventory.rescan(10)
        found.append(service.inventory.devids())

    first = threading.Thread(target=watch)
    first.start()
    wait_until(lambda: scans, "the first one lists")
    service.add(1)
    others = [threading.Thread(target=watch) for _ in range(50)]
    for thread in others:
        thread.start()
    gate.set()
    for thread in [first, *others]:
        join(thread)
    # The last ones that came may have missed the second listing, and share a third.
    assert len(scans) <= 3
    assert found[1:] == [[1]] * 50


def test_rescan_after_the_stop_returns(service: Service, begin: Begin) -> None:
    refresher = begin(service)
    refresher.stop()
    service.add(1)
    service.inventory.rescan(10)
    assert service.inventory.devids() == []


def test_stop_does_not_wait_for_a_device_that_hangs(
    service: Service, begin: Begin, hangs: Hangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "_STOP_S", 0.01)
    hangs.hang(*service.add(1))
    refresher = begin(service, interval_s=0.001)
    refresher.start()
    hangs.await_blocked()
    refresher.stop()
    assert [thread.name for thread in _threads()] == ["refresh-job"]


def test_stop_waits_a_moment_for_a_device_and_not_longer(
    service: Service, begin: Begin, hangs: Hangs
) -> None:
    hangs.hang(*service.add(1))
    refresher = begin(service, interval_s=0.001)
    refresher.start()
    hangs.await_blocked()
    promptly(refresher.stop, 5.0)


def _memory_directory() -> Path:
    path = Path("/dev/shm")
    if not os.access(path, os.W_OK):
        pytest.skip("there is no file system in memory at /dev/shm")
    return path


def test_round_is_given_up_after_half_a_minute(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "time", mock.Mock(monotonic=lambda: 100.0))
    begun = refresh._Round(service.inventory)
    assert (begun.deadline, begun.awaited) == (130.0, {service.inventory})


def test_five_hundred_devices_take_no_time_of_ours(begin: Begin, tmp_path: Path) -> None:
    # On a file system in memory: the disk of the test machine is not what is measured.
    path = _memory_directory() / f"mogstored-{os.getpid()}-{tmp_path.name}"
    path.mkdir()
    docroot = Docroot(str(path))
    service = Service(docroot)
    try:
        service.add(*range(500))
        refresher = begin(service)
        began = time.process_time()
        refresher.start_first_round(30)
        spent_s = time.process_time() - began
        assert len(service.inventory.devids()) == 500
        # A tenth of that where this was written. An emulated machine's clock counts what its
        # host did meanwhile, so there the figure says nothing.
        assert PATIENCE > 1 or spent_s < 1.0
    finally:
        for file in path.rglob("usage"):
            file.unlink()
        for directory in path.iterdir():
            directory.rmdir()
        path.rmdir()
        docroot.close()
