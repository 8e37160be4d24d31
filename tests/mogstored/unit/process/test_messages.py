"""Messages of which one fails, in a master and in a worker: the others are acted on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from mogstored.config.values.processes import ProcessCount
from mogstored.process import main_loop, master
from mogstored.process.ipc import IpcChannel, Kind
from mogstored.process.master import Master, WorkerHandle
from mogstored.process.worker import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogstored.utilization.pipe_feed import ReportSender


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_loop, "_PAUSE_S", 0.0)


@pytest.fixture
def ends() -> Iterator[tuple[IpcChannel, IpcChannel]]:
    near, far = IpcChannel.pair()
    yield near, far
    near.close()
    far.close()


def test_master_acts_on_what_follows(
    ends: tuple[IpcChannel, IpcChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = ends
    monkeypatch.setattr(master, "decode_wanted", Mock(side_effect=MemoryError))
    lifecycle = Mock()
    lifecycle.signals.fileno.return_value = 0
    lifecycle.notifier.keepalive_interval_s = None
    leader = Master(Mock(worker_processes=ProcessCount(1)), [], lifecycle)
    reports: ReportSender = Mock()
    handle = WorkerHandle(os.getpid(), near, -1, reports, started_at=0.0, alive_at=0.0)
    leader._slots[0].worker = handle
    far.send(Kind.WANT, b"1")
    far.send(Kind.READY)
    leader._receive(leader._slots[0])
    assert handle.is_ready
    lifecycle.announce_ready.assert_called_once_with()


def test_worker_acts_on_what_follows(ends: tuple[IpcChannel, IpcChannel]) -> None:
    near, far = ends
    worker = WorkerProcess(0, near, -1, Mock(), Mock(), None)
    worker._measuring = Mock(want_elsewhere=Mock(side_effect=MemoryError))
    far.send(Kind.WANT, b"1")
    far.send(Kind.LAST_CALL)
    assert not worker._wants_stop([])
    assert not worker._has_successor
