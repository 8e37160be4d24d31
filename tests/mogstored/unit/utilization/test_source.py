"""Which feed a node gets."""

from __future__ import annotations

import re
import sys
from queue import SimpleQueue

import pytest

from mogstored.utilization.busy_time import LinuxCounters, PsutilCounters
from mogstored.utilization.iostat_feed import IostatFeed
from mogstored.utilization.report import Report
from mogstored.utilization.sampled_feed import SampledFeed
from mogstored.utilization.source import open_feed


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


def test_no_iostat_reports_no_disk() -> None:
    reports: SimpleQueue[Report] = SimpleQueue()
    feed = open_feed(iostat_command=None, enabled=False)
    feed.start(reports.put)
    feed.want(True)
    assert reports.get(timeout=10) == {}
    feed.stop()


@pytest.mark.slow
def test_report_of_this_system_after_a_second() -> None:
    counters = LinuxCounters() if sys.platform == "linux" else PsutilCounters()
    if not counters():
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
