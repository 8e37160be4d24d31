"""Rounds over all devices, with some of them hanging."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mogstored.storage import jobs, refresh
from mogstored.storage.book import DeviceBook
from mogstored.storage.device import Devices
from mogstored.storage.docroot import Docroot
from mogstored.storage.jobs import KeyedJobs
from mogstored.storage.refresh import Refresher, _Key
from tests.mogstored.unit.storage.conftest import Hangs
from tests.support.threads import Running
from tests.support.waiting import PATIENCE, wait_until

LONG_S = 3600.0


@dataclass
class Service:
    """As much of a service as the refresher sees, and its docroot."""

    docroot: Docroot
    book: DeviceBook | None

    def add(self, *devids: int) -> list[Path]:
        paths = [Path(self.docroot.path, f"dev{devid}") for devid in devids]
        for path in paths:
            path.mkdir()
        return paths

    def usage(self, devid: int) -> Path:
        return Path(self.docroot.path, f"dev{devid}", "usage")

    @property
    def known(self) -> DeviceBook:
        assert self.book is not None
        return self.book


@pytest.fixture
def service(docroot: Docroot) -> Service:
    return Service(docroot, DeviceBook(docroot))


Begin = Callable[..., Refresher]


@pytest.fixture
def begin(hangs: Hangs) -> Iterator[Begin]:
    """Make refreshers that are stopped in the end, with all their threads."""
    made: list[Refresher] = []

    def begin(*services: Service, interval_s: float = LONG_S, writes: bool = True) -> Refresher:
        made.append(Refresher(services, interval_s=interval_s, writes_files=writes))
        return made[-1]

    yield begin
    hangs.let_go()
    for refresher in made:
        refresher.stop()
    wait_until(lambda: not _threads(), "no thread is left")


@pytest.fixture
def impatient(service: Service, hangs: Hangs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs has done so for long at once, and what is merely slow never does."""
    ages = KeyedJobs.running

    def running(jobs_: KeyedJobs[_Key]) -> dict[_Key, float]:
        root = Path(service.docroot.path)
        return {
            key: LONG_S if hangs.holds(root / f"dev{key.devid}") else 0.0 for key in ages(jobs_)
        }

    monkeypatch.setattr(KeyedJobs, "running", running)
    monkeypatch.setattr(jobs, "_HANGING_S", 0.03)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("refresh")]


def test_first_round_writes_all_files_before_it_returns(service: Service, begin: Begin) -> None:
    service.add(1, 2, 3)
    begin(service).start_first_round(10)
    assert service.known.devids() == [1, 2, 3]
    for devid in (1, 2, 3):
        record = service.known.record(devid)
        assert record is not None
        assert service.usage(devid).read_bytes() == record.text()


def test_first_round_without_any_device(service: Service, begin: Begin) -> None:
    begin(service).start_first_round(10)
    assert service.known.devids() == []


def test_no_files_from_other_than_the_first_worker(service: Service, begin: Begin) -> None:
    service.add(1)
    begin(service, writes=False).start_first_round(10)
    assert service.known.record(1) is not None
    assert not service.usage(1).exists()


def test_service_without_a_book_is_left_alone(
    service: Service, tmp_path: Path, begin: Begin
) -> None:
    (tmp_path / "http").mkdir()
    http_only = Service(Docroot(str(tmp_path / "http")), None)
    http_only.add(1)
    service.add(1)
    begin(http_only, service).start_first_round(10)
    assert not http_only.usage(1).exists()
    assert service.usage(1).exists()
    http_only.docroot.close()


def test_nothing_runs_when_there_is_nothing_to_refresh(begin: Begin) -> None:
    refresher = begin()
    refresher.start_first_round(10)
    refresher.start()
    assert _threads() == []


def test_found_devices_get_slots(docroot: Docroot, begin: Begin) -> None:
    devices = Devices(docroot.fileno(), lambda _task: None)
    service = Service(docroot, DeviceBook(docroot, learn=devices.learn))
    service.add(7)
    assert devices.of(b"dev7/x").name == b""
    begin(service).start_first_round(10)
    assert devices.of(b"dev7/x").name == b"dev7"


def test_device_that_hangs_does_not_hold_up_the_first_round(
    service: Service, begin: Begin, hangs: Hangs, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    first, *_ = service.add(*range(20))
    hangs.hang(first)
    begin(service).start_first_round(10)
    assert service.known.devids() == list(range(1, 20))
    assert service.known.is_stuck(0)
    book = f"<devices of {service.docroot.path}>"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, f"dev0 in {book} has not answered for 2 s, and is left out")
    ]


def test_first_round_gives_up_in_time(service: Service, begin: Begin, hangs: Hangs) -> None:
    hangs.hang(*service.add(1))
    began = time.monotonic()
    begin(service).start_first_round(0.05)
    assert time.monotonic() - began < refresh.STUCK_S


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
    assert service.known.devids() == [1, 2]
    assert service.known.record(1) is not None


def test_device_that_answers_again_is_taken_back(
    service: Service, begin: Begin, hangs: Hangs, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mogstored")
    hangs.hang(*service.add(1))
    refresher = begin(service)
    refresher.start_first_round(10)
    assert service.known.is_stuck(1)
    hangs.let_go()
    wait_until(lambda: not service.known.is_stuck(1), "it answers")
    refresher.start_first_round(10)
    assert service.known.devids() == [1]
    assert caplog.records[-1].message.endswith("answers again")


def test_many_devices_hang_and_all_others_are_served(
    service: Service, begin: Begin, hangs: Hangs, impatient: None
) -> None:
    paths = service.add(*range(40))
    hangs.hang(*paths[:12])
    begin(service).start_first_round(20)
    assert service.known.devids() == list(range(12, 40))


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
    scan, scans = service.known.scan, []

    def timed_scan(relieve: None) -> list[int]:
        scans.append(time.monotonic())
        return scan(relieve)

    monkeypatch.setattr(service.known, "scan", timed_scan)
    hangs.hang(*service.add(1))
    interval_s = 0.05
    begin(service, interval_s=interval_s).start()
    hangs.await_blocked()
    still_running_at = time.monotonic()
    hangs.let_go()
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

    monkeypatch.setattr(service.known, "scan", fail)
    begin(service).start_first_round(10)
    assert caplog.records[0].message.startswith("cannot list")


# Rescans, as for a new watcher


def test_rescan_finds_what_is_there_now(service: Service, begin: Begin) -> None:
    refresher = begin(service)
    refresher.start_first_round(10)
    refresher.start()
    service.add(666)
    service.known.rescan()
    assert service.known.devids() == [666]
    assert service.usage(666).exists()


def test_rescan_does_not_wait_for_a_device_that_hangs(
    service: Service, begin: Begin, hangs: Hangs, impatient: None
) -> None:
    refresher = begin(service)
    hangs.hang(*service.add(1))
    refresher.start_first_round(10)
    service.add(2)
    service.known.rescan()
    assert service.known.devids() == [2]


def test_rescan_keeps_its_time(service: Service, begin: Begin, hangs: Hangs) -> None:
    begin(service)
    hangs.hang(*service.add(1))
    began = time.monotonic()
    service.known.rescan(0.05)
    assert time.monotonic() - began < refresh.STUCK_S


def test_rescan_touches_its_own_service_only(
    service: Service, tmp_path: Path, begin: Begin
) -> None:
    (tmp_path / "other").mkdir()
    docroot = Docroot(str(tmp_path / "other"))
    other = Service(docroot, DeviceBook(docroot))
    begin(service, other)
    service.add(1)
    other.add(1)
    service.known.rescan()
    assert (service.known.devids(), other.known.devids()) == ([1], [])
    docroot.close()


def test_many_rescans_share_their_rounds(
    service: Service, begin: Begin, hangs: Hangs, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = []
    gate = threading.Event()
    scan = service.known.scan

    def slow_scan(relieve: None) -> list[int]:
        scans.append(1)
        gate.wait()
        return scan(relieve)

    monkeypatch.setattr(service.known, "scan", slow_scan)
    begin(service)
    found = []

    def watch() -> None:
        service.known.rescan(10)
        found.append(service.known.devids())

    first = threading.Thread(target=watch)
    first.start()
    wait_until(lambda: scans, "the first one lists")
    service.add(1)
    others = [threading.Thread(target=watch) for _ in range(50)]
    for thread in others:
        thread.start()
    gate.set()
    for thread in [first, *others]:
        thread.join(10)
    # The last ones that came may have missed the second listing, and share a third.
    assert len(scans) <= 3
    assert found[1:] == [[1]] * 50


def test_rescan_after_the_stop_returns(service: Service, begin: Begin) -> None:
    refresher = begin(service)
    refresher.stop()
    service.add(1)
    service.known.rescan(10)
    assert service.known.devids() == []


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


def _memory_directory() -> Path:
    path = Path("/dev/shm")
    if not os.access(path, os.W_OK):
        pytest.skip("there is no file system in memory at /dev/shm")
    return path


def test_five_hundred_devices_take_no_time_of_ours(begin: Begin, tmp_path: Path) -> None:
    # On a file system in memory, lest the disk of the test machine be measured.
    path = _memory_directory() / f"mogstored-{os.getpid()}-{tmp_path.name}"
    path.mkdir()
    docroot = Docroot(str(path))
    service = Service(docroot, DeviceBook(docroot))
    try:
        service.add(*range(500))
        refresher = begin(service)
        began = time.process_time()
        refresher.start_first_round(30)
        spent_s = time.process_time() - began
        assert len(service.known.devids()) == 500
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


def test_device_that_answers_while_it_is_found_to_hang_is_not_left_for_stuck() -> None:
    """Whatever thread is faster: that it hangs is noted before that it answers again."""
    noted: list[bool] = []
    finishers: list[Running[None]] = []

    class Book:
        def refresh_with(self, _rescan: object) -> None: ...

        def note_stuck(self, _devid: int, stuck: bool) -> None:
            if stuck:
                finishers.append(Running(lambda: refresher._note_finished(key)))
                # It may overtake us here, or has to wait.
                finishers[0].thread.join(0.1)
            noted.append(stuck)

    book: Any = Book()
    refresher = Refresher([SimpleNamespace(book=book)], interval_s=1.0, writes_files=False)
    key = refresh._Key(book, 1)
    jobs: Any = refresher._jobs
    jobs.running = lambda: {key: 100.0}
    refresher._excuse_stuck()
    finishers[0].result()
    assert noted == [True, False]
