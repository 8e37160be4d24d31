"""How a reader of the node rests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogstored.scrub import background
from mogstored.scrub.background import BackgroundScrub
from mogstored.scrub.pace import MIB, Pace

if TYPE_CHECKING:
    from collections.abc import Callable


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


def make(clock: Time, is_used: Callable[[], bool]) -> Callable[[int], bool]:
    """Return the rests of a reader at 1 MiB/s, whose device is in use as said."""
    scrub = BackgroundScrub([], 1.0, 1.0)
    scrub._stopping = cast("Any", clock)
    device = SimpleNamespace(
        load=lambda: SimpleNamespace(held=int(is_used()), waiting=0), is_down=False
    )
    reader = SimpleNamespace(
        device=device,
        effort_s=0.0,
        owed_s=0.0,
        saved_at=clock.now,
        save=lambda: None,
    )
    pace = Pace(1.0, lambda: clock.now)
    return lambda size: scrub._rest(cast("Any", reader), pace, size)


def test_rate_is_kept(clock: Time) -> None:
    rest = make(clock, lambda: False)
    for _ in range(8):
        assert rest(MIB // 4)
    assert clock.now - 1000.0 == pytest.approx(2.0, abs=0.1)


def test_processor_time_is_a_tenth(clock: Time) -> None:
    rest = make(clock, lambda: False)
    for _ in range(1000):
        # Small files: nothing but work of the interpreter.
        clock.cpu_s += 0.0002
        clock.now += 0.0002
        assert rest(0)
    assert clock.cpu_s / (clock.now - 1000.0) == pytest.approx(0.1, rel=0.05)
    assert min(clock.rests) >= 0.005, "short rests are put together"


def test_wait_for_a_processor_counts_as_its_time(clock: Time) -> None:
    rest = make(clock, lambda: False)
    for _ in range(1000):
        clock.cpu_s += 0.0002
        clock.waited_s += 0.0006
        clock.now += 0.0008
        assert rest(0)
    assert clock.cpu_s / (clock.now - 1000.0) == pytest.approx(0.025, rel=0.05)


def test_device_in_use_is_waited_for(clock: Time) -> None:
    until = clock.now + 0.2
    rest = make(clock, lambda: clock.now < until)
    assert rest(0)
    assert 0.2 <= clock.now - 1000.0 < 0.25


def test_device_that_is_never_idle_is_read_all_the_same(clock: Time) -> None:
    rest = make(clock, lambda: True)
    assert rest(0)
    assert 0.5 <= clock.now - 1000.0 < 0.6


def test_stop_ends_every_rest(clock: Time) -> None:
    clock.is_over = True
    assert not make(clock, lambda: True)(0)
    assert not make(clock, lambda: False)(MIB)
    assert len(clock.rests) <= 2
