"""Utilization from counters of busy milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue

import pytest

from mogstored.utilization.report import Report
from mogstored.utilization.sampled_feed import Sample, SampledFeed, rate
from tests.support.waiting import wait_until

LONG_S = 3600.0


@pytest.mark.parametrize(
    ("before", "after", "elapsed_s", "decimals", "text"),
    [
        pytest.param(0, 0, 1.0, 2, "0.00", id="idle"),
        pytest.param(0, 124, 1.0, 2, "12.40", id="partly"),
        pytest.param(1000, 2000, 1.0, 2, "100.00", id="fully"),
        pytest.param(1000, 2003, 1.0, 2, "100.00", id="never more"),
        pytest.param(0, 500, 2.0, 2, "25.00", id="late"),
        pytest.param(0, 5, 1.001, 2, "0.50", id="rounded"),
        pytest.param(0, 124, 1.0, 0, "12", id="whole numbers"),
        pytest.param(0, 999, 1.0, 0, "100", id="rounded to whole numbers"),
        pytest.param(10, 9, 1.0, 2, "-", id="backwards"),
        pytest.param(None, 500, 1.0, 2, "-", id="new disk"),
        pytest.param(0, 5, 0.0, 2, "-", id="no time"),
    ],
)
def test_rate(before: int | None, after: int, elapsed_s: float, decimals: int, text: str) -> None:
    first = Sample(5.0, {} if before is None else {"sda": before})
    assert rate(first, Sample(5.0 + elapsed_s, {"sda": after}), decimals) == {"sda": text}


def test_vanished_disk_is_not_reported() -> None:
    before = Sample(0.0, {"sda": 1, "sdb": 1})
    assert rate(before, Sample(1.0, {"sda": 1}), 2) == {"sda": "0.00"}


class Kernel:
    """Counters that go up with each look."""

    def __init__(self, *disks: str) -> None:
        self.busy_ms: dict[str, int] = dict.fromkeys(disks, 0)
        self.looks = 0

    def __call__(self) -> Mapping[str, int]:
        self.looks += 1
        for disk in self.busy_ms:
            self.busy_ms[disk] += 1
        return dict(self.busy_ms)


Start = Callable[..., "tuple[SampledFeed, SimpleQueue[Report]]"]


@pytest.fixture
def start() -> Iterator[Start]:
    feeds: list[SampledFeed] = []

    def start(
        kernel: Kernel, interval_s: float = 0.001, sign_of_life_s: float = LONG_S
    ) -> tuple[SampledFeed, SimpleQueue[Report]]:
        reports: SimpleQueue[Report] = SimpleQueue()
        feed = SampledFeed(
            kernel, decimals=2, interval_s=interval_s, sign_of_life_s=sign_of_life_s
        )
        feed.start(reports.put)
        feeds.append(feed)
        return feed, reports

    yield start
    for feed in feeds:
        feed.stop()
    assert "utilization" not in {thread.name for thread in threading.enumerate()}


def test_reports_while_wanted(start: Start) -> None:
    feed, reports = start(Kernel("sda"))
    feed.want(True)
    for _ in range(3):
        assert reports.get(timeout=10).keys() == {"sda"}


def test_nothing_is_sampled_without_watchers(start: Start) -> None:
    kernel = Kernel("sda")
    feed, reports = start(kernel)
    feed.want(True)
    reports.get(timeout=10)
    feed.want(False)
    feed.stop()
    looks = kernel.looks
    again, _ = start(kernel)
    again.stop()
    assert kernel.looks == looks


def test_one_look_until_the_interval_is_over(start: Start) -> None:
    kernel = Kernel("sda")
    feed, reports = start(kernel, interval_s=LONG_S)
    feed.want(True)
    wait_until(lambda: kernel.looks == 1, "the first look")
    feed.stop()
    assert reports.empty()


def test_watcher_that_comes_back(start: Start) -> None:
    kernel = Kernel("sda")
    feed, reports = start(kernel, interval_s=0.001)
    for _ in range(3):
        feed.want(True)
        reports.get(timeout=10)
        feed.want(False)


def test_sign_of_life_where_nothing_is_counted(start: Start) -> None:
    kernel = Kernel()
    feed, reports = start(kernel, interval_s=LONG_S, sign_of_life_s=0.001)
    feed.want(True)
    assert reports.get(timeout=10) == {}
    assert reports.get(timeout=10) == {}


@pytest.mark.parametrize(
    ("disks", "expected"), [((), [1.0, 10.0, 10.0]), (("sda",), [1.0, 1.0, 1.0])]
)
def test_report_comes_each_second_and_a_sign_of_life_every_ten(
    monkeypatch: pytest.MonkeyPatch, disks: tuple[str, ...], expected: list[float]
) -> None:
    feed, waits = SampledFeed(Kernel(*disks), decimals=2), []

    def is_wanted_after(interval_s: float) -> bool:
        waits.append(interval_s)
        return len(waits) < 3

    turns = iter([True, False])
    monkeypatch.setattr(feed, "_await_watchers", lambda: next(turns))
    monkeypatch.setattr(feed, "_is_wanted_after", is_wanted_after)
    feed._run(lambda _report: None)
    assert waits == expected


def test_receiver_that_fails_gets_the_next_report(caplog: pytest.LogCaptureFixture) -> None:
    reports: SimpleQueue[Report] = SimpleQueue()

    def receive(report: Report) -> None:
        reports.put(report)
        raise ValueError("broken")

    feed = SampledFeed(Kernel("sda"), decimals=2, interval_s=0.001)
    feed.start(receive)
    feed.want(True)
    reports.get(timeout=10)
    reports.get(timeout=10)
    feed.stop()
    assert caplog.records[0].message == "a utilization report was lost"


def test_stop_without_a_start() -> None:
    SampledFeed(Kernel(), decimals=2).stop()
