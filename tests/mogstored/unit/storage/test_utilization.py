"""Which feed a node gets, and what the kernel counts."""

from __future__ import annotations

import re
import sys
from queue import SimpleQueue
from unittest import mock

import psutil
import pytest

from mogstored.storage.iostat_child import IostatFeed
from mogstored.storage.report import Report
from mogstored.storage.sampling import SampledFeed
from mogstored.storage.utilization import busy_counters, open_feed


@pytest.mark.parametrize(
    ("command", "enabled", "kind"),
    [
        (None, True, SampledFeed),
        ("", True, SampledFeed),
        ("iostat -dx 1 30", True, IostatFeed),
        ("iostat -dx 1 30", False, SampledFeed),
        (None, False, SampledFeed),
    ],
)
def test_choice(command: str | None, enabled: bool, kind: type[object]) -> None:
    assert isinstance(open_feed(iostat_command=command, enabled=enabled), kind)


@pytest.mark.parametrize(
    "failure", [RuntimeError("no disks"), NotImplementedError("no file"), FileNotFoundError()]
)
def test_kernel_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", mock.Mock(side_effect=failure))
    assert busy_counters() == {}


@pytest.mark.parametrize("disks", [None, {}, {"disk0": object()}])
def test_kernel_that_does_not_count(
    monkeypatch: pytest.MonkeyPatch, disks: dict[str, object] | None
) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_kwargs: disks)
    assert busy_counters() == {}


def test_this_kernel() -> None:
    counters = busy_counters()
    if not counters:
        pytest.skip("this system counts no disks")
    assert all(busy_ms >= 0 for busy_ms in counters.values())


@pytest.mark.slow
def test_report_of_this_system_after_a_second() -> None:
    if not busy_counters():
        pytest.skip("this system counts no disks")
    reports: SimpleQueue[Report] = SimpleQueue()
    feed = open_feed(iostat_command=None, enabled=True)
    feed.start(reports.put)
    feed.want(True)
    report = reports.get(timeout=10)
    feed.stop()
    pattern = r"\d+\.\d\d" if sys.platform == "linux" else r"\d+"
    assert report
    assert [value for value in report.values() if not re.fullmatch(pattern, value)] == []
