"""When the left-overs of devices are removed, and how the thread rests."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.devices import leftovers
from mogstored.devices.device import Devices
from mogstored.devices.health import HeldSlots
from mogstored.devices.leftovers import LeftoverSweeper
from mogstored.devices.sickness.standing import Entry, Standing
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mogstored.files.docroot import Docroot

Sweeps = list[tuple[str, float]]


@pytest.fixture
def devices(docroot: Docroot, tmp_path: Path) -> Devices:
    for number in (1, 2, 3):
        (tmp_path / f"docroot/dev{number}").mkdir()
    return Devices(docroot, lambda _task: None)


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> Sweeps:
    """Two files are left over on dev3 each time; return the calls."""
    sweeps: Sweeps = []

    def sweep(path: str, now: float, _pause: Callable[[], bool]) -> int:
        sweeps.append((path, now))
        return 2 if path.endswith("dev3") else 0

    monkeypatch.setattr(leftovers, "sweep", sweep)
    return sweeps


def sweeper_of(*every: Devices, interval_s: float = 3600.0) -> LeftoverSweeper:
    inventories = [cast("Any", SimpleNamespace(present=each.known)) for each in every]
    return LeftoverSweeper(inventories, interval_s)


def test_devices_are_swept_again_and_again_but_for_one_that_hangs(
    devices: Devices,
    docroot: Docroot,
    sweeps: Sweeps,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", "mogstored")
    hanging = devices.of(b"dev2")
    hanging.health.held_slots = HeldSlots(1, 0)
    monkeypatch.setattr(leftovers, "_STOP_S", PATIENCE_S)
    sweeper = sweeper_of(devices, interval_s=0.001)
    sweeper.start()
    wait_until(lambda: len(sweeps) >= 4, "it was swept twice")
    hanging.health.held_slots = None
    wait_until(lambda: hanging.path in dict([*sweeps]), "it is swept once it answers")
    sweeper.stop()
    assert sweeper._thread is not None
    assert not sweeper._thread.is_alive()
    assert [path for path, _ in sweeps[:4]] == [f"{docroot.path}/dev{n}" for n in (1, 3, 1, 3)]
    assert abs(sweeps[0][1] - time.time()) < 3600
    assert set(caplog.messages) == {f"{docroot.path}/dev3: removed 2 files that were left over"}


def test_interval_is_a_day() -> None:
    assert LeftoverSweeper([])._interval_s == 86400.0


def test_without_a_docroot_no_thread_is_started(sweeps: Sweeps) -> None:
    sweeper = sweeper_of()
    sweeper.start()
    sweeper.stop()
    assert sweeper._thread is None
    assert sweeps == []


def test_stop_does_not_wait_for_a_disk_that_hangs() -> None:
    sweeper = sweeper_of()
    waits: list[float] = []
    sweeper._thread = cast("Any", SimpleNamespace(join=waits.append))
    sweeper.stop()
    assert waits == [0.2]


def test_thread_rests_four_times_as_long_as_it_works(
    devices: Devices, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, rests, now = devices.of(b"dev1"), [], 100.0
    sweeper = sweeper_of(devices)
    monkeypatch.setattr(leftovers, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    is_over = False

    def rest(seconds: float) -> bool:
        nonlocal now
        rests.append(seconds)
        now += seconds
        return is_over

    monkeypatch.setattr(sweeper._stopping, "wait", rest)
    sweeper._sweep(device)
    for took_s in (0.01, 0.1, 7.0):
        now += took_s
        assert sweeper._pause(device)
    assert rests == pytest.approx([0.04, 0.4, 0.5])
    is_over = True
    assert not sweeper._pause(device)
    is_over = False
    device.enter_in(Entry(standing=Standing.DOWN))
    assert not sweeper._pause(device)


def test_disk_is_read_at_low_priority(
    devices: Devices, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Low:
        def __enter__(self) -> None:
            seen.append(len(sweeps))

        def __exit__(self, *_: object) -> None:
            seen.append(len(sweeps))

    monkeypatch.setattr(leftovers, "lowered_io_priority", Low)
    sweeper = sweeper_of(devices)
    monkeypatch.setattr(sweeper._stopping, "wait", lambda _: sweeper._stopping.set())
    sweeper._run()
    assert seen == [0, 3]
