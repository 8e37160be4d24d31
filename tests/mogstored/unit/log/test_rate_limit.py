"""At most once in a given time."""

from __future__ import annotations

import pytest

from mogstored.log import rate_limit
from mogstored.log.rate_limit import BurstLimiter, KeyedRateLimiter, RateLimiter, more
from tests.support.clock import stop_clock


def test_due_once_in_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, rate_limit, 100.0)
    limiter = RateLimiter(10.0)
    due = []
    for now[0] in (100.0, 100.0, 109.9, 110.0, 115.0, 300.0, 300.1):
        due.append(limiter.is_due())
    assert due == [True, False, False, True, False, True, False]


def test_each_key_is_due_on_its_own_and_counts_what_it_skips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = stop_clock(monkeypatch, rate_limit, 100.0)
    limiter: KeyedRateLimiter[str] = KeyedRateLimiter(10.0)
    asked = [(100, "a"), (101, "a"), (101, "b"), (109, "a"), (110, "a"), (111, "b"), (120, "a")]
    skipped = []
    for now[0], key in asked:
        skipped.append(limiter.skipped(key))
    assert skipped == [0, None, 0, None, 2, 0, 0]


def test_table_of_keys_is_bounded() -> None:
    limiter: KeyedRateLimiter[int] = KeyedRateLimiter(3600.0, max_keys=10)
    most = 0
    for key in range(100):
        assert limiter.skipped(key) == 0
        most = max(most, len(limiter._seen))
    assert most == 10


def test_burst_is_permitted_again_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, rate_limit, 100.0)
    limiter = BurstLimiter(burst=3, interval_s=1.0)
    skipped = []
    for now[0] in (100.0, 100.0, 100.0, 100.0, 100.9, 101.0, 101.1, 200.0, 200.0, 200.0, 200.0):
        skipped.append(limiter.skipped())
    assert skipped == [0, 0, 0, None, None, 2, None, 1, 0, 0, None]


def test_machine_that_has_just_started_has_no_limits_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop_clock(monkeypatch, rate_limit, 0.0)
    assert RateLimiter(10.0).is_due()
    burst = BurstLimiter(burst=3, interval_s=1.0)
    assert [burst.skipped() for _ in range(4)] == [0, 0, 0, None]


def test_keys_that_skipped_are_overdue_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = stop_clock(monkeypatch, rate_limit, 100.0)
    limiter: KeyedRateLimiter[str] = KeyedRateLimiter(10.0)
    for key in "aabaac":
        limiter.skipped(key)
    found = []
    for now[0] in (109.9, 110.0, 110.0, 120.0):
        found.append(limiter.overdue())
    assert found == [[], [("a", 3)], [], []]
    # Its next interval began when it was reported.
    now[0] = 119.9
    assert (limiter.skipped("a"), limiter.skipped("b")) == (None, 0)


@pytest.mark.parametrize(
    ("skipped", "end"),
    [(0, ""), (1, "; 1 more of its kind since the last such line")],
)
def test_line_says_how_many_were_left_out_before_it(skipped: int, end: str) -> None:
    assert more(skipped, " of its kind") == end
    assert more(skipped) == end.replace(" of its kind", "")
