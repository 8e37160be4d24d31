"""How a reader of the node rests, what it begins with, and what it says and keeps."""

from __future__ import annotations

import operator
import os
import time
from functools import partial
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.devices.device import Device, Devices
from mogstored.devices.sickness.standing import Entry, Standing
from mogstored.files.docroot import Docroot
from mogstored.files.state_dir import StateDir
from mogstored.scrub import background
from mogstored.scrub.background import BackgroundScrub
from mogstored.scrub.pace import MIB, Pace
from mogstored.scrub.verdict import Finding, Kind, Tally
from mogstored.scrub.walk import Unmounted, Walk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Time:
    """A clock that rests move; `cpu_s` is the processor time of the thread."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cpu_s = 0.0
        self.waited_s = 0.0
        self.rests: list[float] = []
        self.is_over = False

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        self.rests.append(seconds)
        return self.is_over

    def is_set(self) -> bool:
        return self.is_over


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(background, "monotonic", lambda: clock.now)
    monkeypatch.setattr(background, "thread_time", lambda: clock.cpu_s)
    monkeypatch.setattr(background, "waited_s", lambda: clock.waited_s)
    return clock


def make(
    clock: Time,
    is_used: Callable[[], bool],
    *,
    what: str = "held",
    readers: int = 1,
    reader: SimpleNamespace | None = None,
) -> Callable[[int], bool]:
    """Return the rests of a reader at 1 MiB/s, whose device is in use as said."""
    scrub = BackgroundScrub([], 1.0, 1.0)
    scrub._stopping = cast("Any", clock)
    for number in range(readers + 1):
        thread = SimpleNamespace(is_alive=partial(operator.lt, number, readers))
        scrub._active[number] = cast("Any", thread)
    load = {"held": 0, "waiting": 0}
    reader = reader or SimpleNamespace()
    reader.device = SimpleNamespace(
        load=lambda: SimpleNamespace(**load | {what: int(is_used())}), is_down=False
    )
    reader.effort_s = reader.owed_s = 0.0
    reader.saved_at = clock.now
    reader.saves = []

    def save() -> None:
        reader.saved_at = clock.now
        reader.saves.append(clock.now)

    reader.save = save
    pace = Pace(1.0, lambda: clock.now)
    return lambda size: scrub._rest(cast("Any", reader), pace, size)


def test_rate_is_kept(clock: Time) -> None:
    rest = make(clock, lambda: False)
    for _ in range(8):
        assert rest(MIB // 4)
    assert clock.now - 1000.0 == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("readers", [0, 1, 3])
def test_processor_time_is_a_tenth_of_all_readers_together(clock: Time, readers: int) -> None:
    rest = make(clock, lambda: False, readers=readers)
    for _ in range(1000):
        # Small files: nothing but work of the interpreter.
        clock.cpu_s += 0.0002
        clock.now += 0.0002
        assert rest(0)
    share = 1 / (1 + 9 * max(1, readers))
    assert clock.cpu_s / (clock.now - 1000.0) == pytest.approx(share, rel=0.05)
    assert min(clock.rests) >= 0.005, "short rests are put together"


def test_wait_for_a_processor_counts_as_its_time(clock: Time) -> None:
    rest = make(clock, lambda: False)
    for _ in range(1000):
        clock.cpu_s += 0.0002
        clock.waited_s += 0.0006
        clock.now += 0.0008
        assert rest(0)
    assert clock.cpu_s / (clock.now - 1000.0) == pytest.approx(0.025, rel=0.05)


@pytest.mark.parametrize("what", ["held", "waiting"])
def test_device_in_use_is_waited_for(clock: Time, what: str) -> None:
    rest = make(clock, lambda: clock.now < 1000.2, what=what)
    assert rest(0)
    assert 0.2 <= clock.now - 1000.0 < 0.21


def test_device_that_is_never_idle_is_read_all_the_same(clock: Time) -> None:
    rest = make(clock, lambda: True)
    assert rest(0)
    assert 0.5 <= clock.now - 1000.0 < 0.51


def test_stop_ends_every_rest(clock: Time) -> None:
    clock.is_over = True
    assert not make(clock, lambda: True)(0)
    assert not make(clock, lambda: False)(MIB)
    assert len(clock.rests) <= 2


def test_work_of_a_save_is_not_owed(clock: Time) -> None:
    reader = SimpleNamespace()
    rest = make(clock, lambda: False, reader=reader)
    clock.cpu_s = 0.0001
    rest(0)
    assert (reader.effort_s, reader.owed_s) == (clock.cpu_s, pytest.approx(0.0009))
    clock.cpu_s = 0.001
    rest(0)
    assert clock.rests == [pytest.approx(0.009)]
    assert reader.owed_s == 0.0


def test_position_is_saved_twice_a_minute(clock: Time) -> None:
    reader = SimpleNamespace()
    rest = make(clock, lambda: False, reader=reader)
    for _ in range(100):
        clock.now += 1.0
        assert rest(0)
    assert reader.saves == [1031.0, 1062.0, 1093.0]


def test_device_that_is_down_is_not_read_on(clock: Time) -> None:
    reader = SimpleNamespace()
    rest = make(clock, lambda: False, reader=reader)
    reader.device.is_down = True
    assert not rest(0)


class Rig:
    """A scrub over a docroot with three devices, whose threads run when the test says so."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in (1, 2, 3):
            (root / f"dev{number}").mkdir()
        self.docroot = Docroot(str(root))
        self.devices = Devices(self.docroot, lambda _task: None)
        self.state_dir = StateDir(self.docroot)
        self.scrub = self.restart()
        self.begun: list[tuple[Callable[[], None], SimpleNamespace]] = []
        self.refuses = False
        monkeypatch.setattr(background, "try_start_thread", self._begin)

    def restart(self, period_s: float = 100.0) -> BackgroundScrub:
        inventory = SimpleNamespace(present=self.devices.known)
        self.scrub = BackgroundScrub([(cast("Any", inventory), self.state_dir)], period_s, 1e6)
        return self.scrub

    def device(self, number: int = 1) -> Device:
        return self.devices.of(b"dev%d/x" % number)

    def begin(self, number: int = 1) -> int:
        """Let the device have its turn; return how many threads were begun by that."""
        before = len(self.begun)
        self.scrub._start_if_due(self.device(number), self.state_dir)
        return len(self.begun) - before

    def read(self, number: int = 1) -> None:
        """Read the device, if it is due, to the end of its turn."""
        if self.begin(number):
            work, thread = self.begun[-1]
            work()
            thread.is_alive = lambda: False

    def due_in_s(self, number: int = 1) -> float:
        return self.scrub._readers[self.device(number)].due_at - monotonic()

    def _begin(self, work: Callable[[], None], name: str) -> SimpleNamespace | None:
        assert name == "scrub"
        if self.refuses:
            return None
        self.begun.append((work, SimpleNamespace(is_alive=lambda: True, join=lambda _: None)))
        return self.begun[-1][1]


@pytest.fixture
def rig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Rig]:
    caplog.set_level("INFO", "mogstored")
    rig = Rig(tmp_path, monkeypatch)
    yield rig
    rig.docroot.close()


def fail_walks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def entries(*_: object) -> Any:
        raise error

    monkeypatch.setattr(Walk, "entries", entries)


def test_round_is_counted_kept_and_not_begun_again(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(5000, 6000))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    (tmp_path / "dev1/a").write_bytes(bytes(5 * MIB // 2))
    (tmp_path / "dev1/b").touch()
    assert rig.scrub.report(rig.device()) is None
    rig.read()
    assert caplog.messages == [f"{tmp_path}/dev1 was read to its end: 2 files, 2 MiB, 0 findings"]
    report = rig.scrub.report(rig.device())
    assert report is not None
    assert (report.tally.files, report.tally.read_bytes) == (2, 5 * MIB // 2)
    assert (report.began_at, report.ended_at, report.findings) == (5001.0, 5002.0, ())
    assert rig.state_dir.read("scrub-dev1") == {
        "position": "",
        "began_at": 5001.0,
        "ended_at": 5002.0,
        "findings": [],
        "tally": report.tally.as_json(),
    }
    assert rig.due_in_s() <= 0.0
    reader = rig.scrub._readers[rig.device()]
    reader.saved_at = 0.0
    reader.save()
    assert reader.saved_at == pytest.approx(monotonic(), abs=60.0)
    rig.read()
    assert rig.due_in_s() == pytest.approx(98.0, abs=1.5), "of the period"
    assert not rig.begin()
    for period, due_in_s in ((1000.0, 997.0), (1e6, 3600.0)):
        rig.restart(period).stop()
        rig.read()
        assert rig.due_in_s() == pytest.approx(due_in_s, abs=2.5)
        report = rig.scrub.report(rig.device())
        assert report is not None
        assert (report.tally, report.began_at) == (Tally(), 5001.0)


def test_next_round_adds_to_what_was_read(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "dev1/a").write_bytes(b"abc")
    rig.restart(0.0)
    for rounds in (1, 2):
        rig.read()
        report = rig.scrub.report(rig.device())
        assert report is not None
        assert (report.tally.files, report.tally.read_bytes) == (rounds, 3 * rounds)


def test_report_and_saved_position_while_it_reads(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rest saves, as if it came late; the file behind the first one ends it."""
    monkeypatch.setattr(background, "_SAVE_S", -1.0)
    for name in "abc":
        (tmp_path / "dev1" / name).write_bytes(b"xy")
    seen: list[tuple[int, str, int]] = []
    rest = BackgroundScrub._rest

    def look(self: BackgroundScrub, *arguments: Any) -> bool:
        if len(seen) == 2:
            self.begin_stop()
        goes_on = rest(self, *arguments)
        report, state = self.report(rig.device()), rig.state_dir.read("scrub-dev1")
        assert report is not None
        assert state is not None
        seen.append((report.tally.files, state["position"], state["tally"]["files"]))
        return goes_on

    monkeypatch.setattr(BackgroundScrub, "_rest", look)
    rig.read()
    assert seen == [(0, "", 0), (1, "a", 1), (2, "b", 2)]
    state = rig.state_dir.read("scrub-dev1")
    assert state is not None
    assert (state["position"], state["ended_at"]) == ("b", 0.0)
    rig.restart()
    monkeypatch.setattr(BackgroundScrub, "_rest", rest)
    rig.read()
    report = rig.scrub.report(rig.device())
    assert report is not None
    assert report.tally.files == 1
    state = rig.state_dir.read("scrub-dev1")
    assert state is not None
    assert (state["position"], state["tally"]["files"]) == ("", 3)


def test_disk_that_fails_is_counted_and_tried_again_later(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_walks(monkeypatch, OSError(5, "Input/output error"))
    rig.read()
    assert caplog.messages == [
        f"cannot read {tmp_path}/dev1 for its scrub: Input/output error (EIO)"
    ]
    assert caplog.records[0].levelname == "ERROR"
    assert rig.device().errors.counts() == {("read", "EIO"): 1}
    assert rig.due_in_s() == pytest.approx(60.0, abs=5.0)
    assert not rig.begin()
    assert rig.state_dir.read("scrub-dev1") is not None


def test_file_that_cannot_be_read_is_an_error_of_the_disk(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev1/a").write_bytes(b"abc")
    notes = []
    monkeypatch.setattr(Device, "note_error", lambda _, *note: notes.append(note))

    def read(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", read)
    rig.read()
    ((attempt, error),) = notes
    assert (attempt.operation, attempt.path, error.errno) == ("read", b"dev1/a", 5)
    report = rig.scrub.report(rig.device())
    assert report is not None
    ((_, finding),) = report.findings
    assert finding == Finding(
        f"{tmp_path}/dev1/a", "unreadable", "", "Input/output error (EIO) at 0"
    )
    assert caplog.messages[0] == f"{finding.path} cannot be read: {finding.found}"


def test_device_that_is_unmounted(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_walks(monkeypatch, Unmounted())
    rig.read()
    assert caplog.messages == [
        f"{tmp_path}/dev1 was unmounted, and is read on when it is there again"
    ]
    assert rig.due_in_s() == pytest.approx(60.0, abs=5.0)
    assert rig.state_dir.read("scrub-dev1") is not None


def test_disks_have_a_reader_each(rig: Rig) -> None:
    for number, located_at in ((1, (7, 1)), (2, (7, 2)), (3, (8, 1))):
        rig.device(number).usage.located_at = located_at
    assert [rig.begin(number) for number in (1, 2, 3)] == [1, 0, 1]
    rig.begun[0][1].is_alive = lambda: False
    assert rig.begin(2) == 1


def test_devices_that_were_not_looked_at_have_a_reader_each(rig: Rig) -> None:
    assert [rig.begin(number) for number in (1, 1, 2)] == [1, 0, 1]


def test_reader_without_a_thread_is_begun_later(rig: Rig) -> None:
    rig.refuses = True
    assert not rig.begin()
    rig.refuses = False
    assert rig.begin()


@pytest.mark.parametrize("standing", [Standing.OK, Standing.NO_WRITES, Standing.DOWN])
def test_device_out_of_use_is_left_alone(rig: Rig, standing: Standing) -> None:
    rig.device().enter_in(Entry(standing=standing))
    assert rig.begin() == (standing is Standing.OK)
    rig.device(2).health.is_mounted_read_only = True
    assert rig.begin(2)


def test_findings_are_logged(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    report = rig.scrub._report
    report(Finding("/a", Kind.MISMATCH.value, "md5 1", "md5 2"))
    report(Finding("/b", Kind.UNREADABLE.value, "", "bad"))
    report(Finding("/c", Kind.BAD_CHECKSUM.value, "a digest (md5)", "x"))
    assert caplog.messages == [
        "/a is not what was stored: md5 2 instead of md5 1",
        "/b cannot be read: bad",
        "/c has no checksum in its attribute: x",
    ]
    assert [record.__dict__["path"] for record in caplog.records] == ["/a", "/b", "/c"]
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_lines_of_many_findings_are_limited(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("mogstored.log.rate_limit.monotonic", lambda: now)
    for kind in (Kind.MISMATCH, Kind.UNREADABLE, Kind.BAD_CHECKSUM):
        now += 1000.0
        caplog.clear()
        for _ in range(25):
            rig.scrub._report(Finding("/a", kind.value, "x", "y"))
        assert len(caplog.messages) == 20
        now += 1.0
        rig.scrub._report(Finding("/a", kind.value, "x", "y"))
        assert caplog.messages[-1].endswith("; 5 more since the last such line")


def test_threads_read_until_they_are_stopped(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for number in (1, 2, 3):
        (tmp_path / f"dev{number}/a").touch()
    scrub = rig.restart()
    scrub.stop()
    scrub = rig.restart()
    scrub.start()

    def have_ended() -> bool:
        reports = [scrub.report(rig.device(number)) for number in (1, 2, 3)]
        return all(report is not None and report.ended_at for report in reports)

    wait_until(have_ended, "all devices were read")
    scrub.stop()
    assert scrub._thread is not None
    assert not scrub._thread.is_alive()
    assert not any(thread.is_alive() for thread in scrub._active.values())


def test_without_a_docroot_no_thread_is_started() -> None:
    scrub = BackgroundScrub([], 1.0, 1.0)
    scrub.start()
    assert scrub._thread is None
    scrub.stop()


def test_disk_that_hangs_does_not_hold_up_the_stop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    joins: list[float | None] = []

    def join(seconds: float) -> None:
        nonlocal now
        joins.append(seconds)
        now += 1.5

    monkeypatch.setattr(background, "monotonic", lambda: now)
    for number in (1, 2, 3):
        rig.begin(number)
        rig.begun[-1][1].join = join
    # Which may be about to begin another reader.
    rig.scrub._thread = cast("Any", SimpleNamespace(join=lambda: joins.append(None)))
    rig.scrub.stop()
    assert joins == [None, 2.0, 0.5, 0.0]
