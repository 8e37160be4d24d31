"""What a snapshot says of devices and connections, and when its maker rests."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored import collector as module
from mogstored.collector import Collector, Parts
from mogstored.devices.device import Devices
from mogstored.devices.usage import Fill, UsageRecord
from mogstored.files.checksums.body_digest import HashingLoad
from mogstored.files.docroot import Docroot
from mogstored.observability.counters import Counters
from mogstored.observability.snapshot import ProcessSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Task:
    """A connection, as far as it is counted."""

    def __init__(self, protocol: str, *, is_idle: bool = False) -> None:
        self.protocol = protocol
        self._is_idle = is_idle

    def is_idle(self) -> bool:
        return self._is_idle


def collect(*services: Any, tasks: tuple[Task, ...] = (), **opened: int) -> ProcessSnapshot:
    pool = Mock()
    pool.waiting_tasks.return_value = tasks
    pool.statistics.return_value = Mock(threads_busy=3, threads_waiting=4, threads_parked=5)
    parts = Parts(
        services,
        pool,
        clients=Mock(by_protocol=lambda: opened),
        counters=Counters(),
        hashing=Mock(load=lambda: HashingLoad(1, 2)),
        watchers=Mock(utilization=lambda _disks: 0.5),
        count_dropped_exchanges=lambda: 6,
        count_acceptors=lambda: 7,
        count_lost_messages=lambda: 8,
        scrub_of=lambda _device: None,
    )
    return ProcessSnapshot.decode(Collector(parts, 9).collect("serving"))


@pytest.fixture
def docroot(tmp_path: Path) -> Iterator[Docroot]:
    with closing(Docroot(str(tmp_path))) as docroot:
        yield docroot


def service_of(docroot: Docroot, devices: Devices) -> Any:
    return SimpleNamespace(docroot=docroot, devices=devices)


def test_sizes_are_in_bytes(docroot: Docroot, tmp_path: Path) -> None:
    for name in ("dev1", "dev2", "dev3"):
        (tmp_path / name).mkdir()
    devices = Devices(docroot, print)
    fill = Fill(3, 10, 7, 70, 100, 40)
    devices.of(b"dev1").usage.record = UsageRecord(1, 0, fill, "/dev/sda", "/d/dev1")
    devices.of(b"dev2").health.is_removed = True
    found = {each.device: each for each in collect(service_of(docroot, devices)).devices}
    assert found.keys() == {"dev1", "dev3"}
    first, last = found["dev1"], found["dev3"]
    assert (first.size_bytes, first.available_bytes) == (10240, 3072)
    assert (first.inodes, first.inodes_free, first.source) == (100, 40, "/dev/sda")
    assert (first.docroot, first.path) == (docroot.path, f"{docroot.path}/dev1")
    assert (last.size_bytes, last.source, last.utilization) == (None, "", 0.5)


@pytest.mark.parametrize(("count", "rests"), [(15, 0), (16, 1), (33, 2)])
def test_there_is_a_rest_with_each_16_devices(
    docroot: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, rests: int
) -> None:
    for number in range(count):
        (tmp_path / f"dev{number}").mkdir()
    rested: list[float] = []
    clock = SimpleNamespace(sleep=rested.append, time=lambda: 1e9)
    monkeypatch.setattr(module, "time", clock)
    snapshot = collect(service_of(docroot, Devices(docroot, print)))
    assert (len(snapshot.devices), rested) == (count, [0.0005] * rests)
    assert snapshot.started_at == 1e9


def test_connections_that_neither_idle_nor_wait_for_a_device_are_active(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "Connection", Task)
    parked = [Task("http"), Task("sidechannel"), object()]
    waiting = Mock(load=lambda: Mock(waiting=3), parked=lambda: parked)
    calm = Mock(load=lambda: Mock(waiting=0), parked=lambda: parked)
    devices = Mock(everything=lambda: [waiting, calm], known=list)
    tasks = (Task("http", is_idle=True), Task("http"), Task("sidechannel", is_idle=True))
    # A connection of the sidechannel was closed in between.
    snapshot = collect(service_of(Mock(), devices), tasks=tasks, http=5, sidechannel=1)
    assert snapshot.connections == {
        ("http", "idle"): 1,
        ("http", "waiting"): 1,
        ("http", "active"): 3,
        ("sidechannel", "idle"): 1,
        ("sidechannel", "waiting"): 1,
        ("sidechannel", "active"): 0,
    }


def test_threads_and_losses() -> None:
    snapshot = collect()
    assert snapshot.threads == {
        ("worker", "running"): 3,
        ("worker", "idle"): 9,
        ("hashing", "running"): 1,
        ("hashing", "idle"): 2,
        ("acceptor", "idle"): 7,
    }
    assert (snapshot.access_log_dropped, snapshot.log_dropped) == (6, 8)
    assert (snapshot.number, snapshot.state) == (9, "serving")
