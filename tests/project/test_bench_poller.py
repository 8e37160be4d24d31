"""The figures of mogpoll: how they are judged, and a small run of each part."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import pytest

from bench.base.goals import Goal
from bench.poller import cycle, deadlines, memory, pingpong
from bench.poller.contenders import bare, mogpoll
from bench.poller.cycle import pairs, readable
from bench.poller.memory import Growth
from bench.poller.pingpong import Entry, Score
from bench.poller.report import (
    cycle_lines,
    deadline_lines,
    growth_line,
    memory_lines,
    pingpong_lines,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.poller.contenders import OneShot


@pytest.mark.parametrize(("ours_us", "verdict"), [(3.5, "met"), (3.51, "MISSED")])
def test_cost_on_top_of_epoll_is_judged_by_the_median_of_the_rounds(
    ours_us: float, verdict: str
) -> None:
    line, below = cycle_lines("select.epoll", [ours_us, 99.0, 1.0], [2.0, 2.0, 2.0])
    assert (line.verdict, below.verdict) == (verdict, "")
    assert line.figure.startswith(f"{ours_us - 2:.2f} (-1.00-97.00) us")


def test_cost_on_top_of_kqueue_has_no_goal() -> None:
    assert next(cycle_lines("select.kqueue", [9.0], [2.0])).is_met is None


@pytest.mark.parametrize(("many_us", "verdict"), [(2.4, "met"), (2.42, "MISSED")])
def test_growth_is_judged_by_the_ratios_of_the_rounds(many_us: float, verdict: str) -> None:
    assert growth_line("mogpoll", 10, [2.0], [many_us], Goal("growth", 1.2)).verdict == verdict
    assert growth_line("mogpoll", 10, [2.0], [many_us], None).verdict == ""


@pytest.mark.parametrize(
    ("worst", "verdict"),
    [(Growth(10, 200), "met"), (Growth(10, 201), "MISSED"), (Growth(201, 10), "MISSED")],
)
def test_memory_is_judged_at_its_worst_size_and_by_either_measure(
    worst: Growth, verdict: str
) -> None:
    line, _ = memory_lines("epoll", {10: Growth(1, 1), 11: worst, 12: Growth(1, 1)})
    assert line.verdict == verdict


@pytest.mark.parametrize(("limited_us", "verdict"), [(7.0, "met"), (7.1, "MISSED")])
def test_deadline_is_judged_by_what_it_adds_to_a_step(limited_us: float, verdict: str) -> None:
    line, *rest = deadline_lines([limited_us], [2.0], [4.0], 9.0)
    assert line.verdict == verdict
    assert rest[-1].figure == "9.00 us"


def test_all_deadlines_pass_and_busy_tasks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "MANY", 40)
    monkeypatch.setattr(deadlines, "_SHORT_S", 0.3)
    limited, free = deadlines.compare(2, 100)
    assert len(limited) == len(free) == 2
    assert min(*limited, *free, deadlines.passing_us(), deadlines.asyncio_us(20)) > 0


def test_pingpong_is_set_beside_the_bare_calls_with_one_thread() -> None:
    ours, base = str(Entry(mogpoll, "mogpoll", 8)), str(Entry(bare, "select.epoll", 1))
    scores = {ours: [Score(100, 1.0, 0.002)], base: [Score(200, 2.0, 0.002)]}
    _, line, base_line = pingpong_lines(scores, base)
    assert base_line.figure.endswith("base")
    assert line.what == "  mogpoll, 8 threads"
    assert line.figure.split() == ["100/s", "20.00", "us", "CPU", "2.00", "(2.00-2.00)", "x"]


@pytest.mark.parametrize(("ready", "registered"), [(1, 1), (3, 10), (4, 4)])
def test_as_many_descriptors_are_readable_as_asked_for(ready: int, registered: int) -> None:
    with readable(ready, registered) as (full, empty):
        assert len({*full, *empty}) == registered
        poll = select.poll()
        for fd in (*full, *empty):
            poll.register(fd, select.POLLIN)
        assert sorted(fd for fd, _ in poll.poll(0)) == sorted(full)


@pytest.mark.parametrize("make", [mogpoll, bare], ids=["mogpoll", "bare"])
def test_a_cycle_leaves_the_descriptor_armed(make: Callable[[], OneShot]) -> None:
    with pairs(1) as [(one, other)]:
        contender = make()
        contender.add([one.fileno()])
        other.send(b"x")
        # Each cycle finds what the one before has armed, or waits for ever. The clock of an
        # emulated machine may stand still for a hundred of them.
        wait_until(lambda: contender.cycle_s(100) > 0, "the cycles take time")
        wait_until(lambda: contender.cycle_s(100) > 0, "and again")
        contender.close()


def test_cost_is_measured_in_every_round() -> None:
    ours, theirs = cycle.compare(rounds=3, count=200)
    assert (len(ours), len(theirs)) == (3, 3)
    assert min(ours + theirs) > 0


@pytest.mark.parametrize("entry", pingpong.entries(many=4), ids=str)
def test_ball_is_bounced_by_every_contender(entry: Entry) -> None:
    score = pingpong.play(entry, seconds=0.1, count=20)
    assert score.events > 20
    assert 0 < score.cpu_us < score.wall_s * 1e6


def test_memory_of_a_registration_is_within_its_goal() -> None:
    found = memory.measure(4000)
    # At least the numbers and their table are there.
    assert 32 < found.allocated <= 200
