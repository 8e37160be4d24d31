"""How many workers should run: a table of samples and decisions."""

from __future__ import annotations

import dataclasses

import pytest

from mogpoll.pool.elastic import Elastic, Sample

# All threads stuck, events queued, an idle processor.
STUCK = Sample(waiting=0, busy=0, steps=0, backlog=True, interval_s=0.004, cpu_s=0.0)


def sample(**seen: float | bool) -> Sample:
    return dataclasses.replace(STUCK, **seen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "spare", "change"),
    [
        pytest.param(STUCK, 1, 1, id="all stuck, events queued"),
        pytest.param(sample(backlog=False), 1, 0, id="all stuck, nothing queued"),
        pytest.param(sample(waiting=1), 1, 0, id="one waits, as many as there should"),
        pytest.param(sample(waiting=3), 1, -2, id="three wait, one should"),
        pytest.param(sample(waiting=3), 2, -1, id="three wait, two should"),
        pytest.param(sample(waiting=3, backlog=False), 3, 0, id="three wait, three should"),
        pytest.param(sample(waiting=2), 8, 0, id="fewer wait than should: none is parked"),
        pytest.param(sample(busy=1, steps=200, cpu_s=0.004), 1, 0, id="one busy computing"),
        pytest.param(sample(busy=4, steps=200, cpu_s=0.004), 1, -3, id="four busy computing"),
        pytest.param(sample(busy=4, steps=200, cpu_s=0.004), 4, 0, id="four busy, four should"),
        pytest.param(sample(busy=1, steps=1, cpu_s=0.004), 1, 0, id="slow steps that compute"),
        pytest.param(sample(busy=2, steps=4, cpu_s=0.0001), 1, 1, id="slow steps, processor idle"),
        pytest.param(
            sample(busy=2, steps=400, cpu_s=0.0001),
            1,
            -1,
            id="short steps, processor taken by others",
        ),
        pytest.param(sample(ready=True), 1, 0, id="all stuck, and would run if they could"),
        pytest.param(sample(ready=True, cpu_s=0.004), 1, 1, id="a step computes, and for long"),
        pytest.param(
            sample(busy=1, steps=4, ready=True),
            1,
            0,
            id="slow steps, processor taken by others",
        ),
    ],
)
def test_decision(seen: Sample, spare: int, change: int) -> None:
    assert Elastic(spare).decide(seen) == change


def test_number_to_start_doubles_while_all_are_stuck() -> None:
    elastic = Elastic(1)
    assert [elastic.decide(STUCK) for _ in range(5)] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    "relief",
    [
        pytest.param(sample(waiting=1), id="one waits"),
        pytest.param(sample(backlog=False), id="nothing queued"),
        pytest.param(sample(busy=1, steps=200, cpu_s=0.004), id="steps compute"),
    ],
)
def test_doubling_begins_anew_after_relief(relief: Sample) -> None:
    elastic = Elastic(1)
    for _ in range(4):
        elastic.decide(STUCK)
    elastic.decide(relief)
    assert [elastic.decide(STUCK) for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("busy", "steps", "cpu_s", "block"),
    [
        (0, 0, 0.004, True),
        (1, 1, 0.0, True),
        (1, 1, 0.0019, True),
        (1, 1, 0.002, False),
        (1, 66, 0.0, True),
        (1, 67, 0.0, False),
        (3, 200, 0.0, False),
        (4, 66, 0.0, True),
        (4, 300, 0.0, False),
    ],
)
def test_steps_block_when_they_are_long_and_the_processor_idle(
    busy: int, steps: int, cpu_s: float, block: bool
) -> None:
    assert sample(busy=busy, steps=steps, cpu_s=cpu_s).steps_block() is block
