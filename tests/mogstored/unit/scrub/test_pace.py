"""How long a reader rests."""

from __future__ import annotations

import pytest

from mogstored.scrub.pace import MIB, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_is_kept_whatever_the_sizes() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    for size in (MIB, 1, 0, 5000, 3 * MIB, MIB // 7):
        for _ in range(40):
            clock.now += pace.delay_s(size)
    total = 40 * (MIB + 1 + 5000 + 3 * MIB + MIB // 7) / MIB
    assert clock.now - 100.0 == pytest.approx(total / 8, abs=0.1)


def test_reading_counts_as_rest() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    clock.now += 0.75
    assert pace.delay_s(MIB) == pytest.approx(1 - 1 / 16)
    clock.now += 3
    assert pace.delay_s(MIB) > 0.9, "idle time is not made up for"


def test_slow_disk_never_rests() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    for _ in range(5):
        clock.now += 1
        assert pace.delay_s(MIB) == 0
