"""What a device may be used for, and when it is checked; with times that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mogstored.devices.sickness.standing import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    WELL,
    Entry,
    Standing,
    after_check,
    ask_for_check,
    decode,
    fall_ill,
    order,
)

NOW = 1_000_000.0


def ill(standing: Standing = Standing.NO_WRITES) -> Entry:
    return fall_ill(WELL, standing, "20 write errors", NOW)


def test_device_that_falls_ill_is_checked_a_minute_later() -> None:
    entry = ill()
    assert (entry.standing, entry.cause, entry.since) == (
        *(Standing.NO_WRITES, "20 write errors"),
        NOW,
    )
    assert not entry.is_due(NOW + FIRST_WAIT_S - 1)
    assert entry.is_due(NOW + FIRST_WAIT_S)


def test_checks_that_fail_are_spaced_out_to_an_hour() -> None:
    entry, now, waits = ill(), NOW, []
    for _ in range(9):
        assert entry.check_at is not None
        waits.append(entry.check_at - now)
        now = entry.check_at
        entry = after_check(entry, "write: broken", now)
        assert entry.last_check == "write: broken"
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert entry.since == NOW


def test_check_that_succeeds_ends_it() -> None:
    entry = after_check(ill(), "", NOW + 60)
    assert entry == Entry(since=NOW + 60, cause="a check succeeded", wait_s=60)
    assert not entry.is_due(NOW + 1e9)


@pytest.mark.parametrize(("later", "wait_s"), [(0, 120), (3599, 120), (3600, 60)])
def test_device_that_falls_ill_again_soon_waits_longer(later: float, wait_s: float) -> None:
    healed = after_check(ill(), "", NOW)
    again = fall_ill(healed, Standing.NO_WRITES, "again", NOW + later)
    assert again.check_at == NOW + later + wait_s


def test_device_becomes_worse_but_never_better_by_errors() -> None:
    worse = fall_ill(ill(), Standing.DOWN, "20 read errors", NOW + 5)
    assert (worse.standing, worse.since) == (Standing.DOWN, NOW + 5)
    assert fall_ill(worse, Standing.NO_WRITES, "more", NOW + 6) == worse
    later = fall_ill(after_check(ill(), "x", NOW), Standing.DOWN, "20 read errors", NOW)
    assert (later.wait_s, later.check_at) == (120, NOW + 120), "it waits no shorter"
    unchecked = fall_ill(order(Standing.NO_WRITES, NOW), Standing.DOWN, "errors", NOW)
    assert (unchecked.wait_s, unchecked.is_by_operator) == (60, False)


@pytest.mark.parametrize("standing", [Standing.NO_WRITES, Standing.DOWN])
def test_what_the_operator_has_ordered_stays(standing: Standing) -> None:
    entry = order(standing, NOW)
    assert entry == Entry(
        standing=standing, cause="by the operator", since=NOW, is_by_operator=True
    )
    assert not entry.is_due(NOW + 1e9)
    assert fall_ill(entry, standing, "errors", NOW + 1) == entry


def test_operator_may_ask_for_a_check_at_once() -> None:
    asked = ask_for_check(order(Standing.DOWN, NOW))
    assert asked.is_due(NOW)
    failed = after_check(asked, "sync: broken", NOW)
    assert failed.standing is Standing.DOWN
    assert not failed.is_due(NOW + 1e9)
    assert after_check(asked, "", NOW).standing is Standing.OK
    assert failed == replace(asked, check_at=None, last_check="sync: broken")
    assert asked.check_at == 0.0
    assert ask_for_check(WELL) == WELL


def test_operator_ends_it_and_what_was_learned() -> None:
    entry = order(Standing.OK, NOW)
    assert entry == Entry(since=NOW, cause="by the operator")
    assert fall_ill(entry, Standing.DOWN, "errors", NOW + 1).wait_s == FIRST_WAIT_S


def test_clock_that_is_set_back_delays_no_check_for_long() -> None:
    entry = ill()
    assert entry.is_due(NOW - 1e8)
    assert not entry.is_due(NOW - LONGEST_WAIT_S + 61)
    assert not entry.is_due(NOW - LONGEST_WAIT_S + 60)
    assert entry.is_due(NOW - LONGEST_WAIT_S + 59)


def test_wait_of_a_file_is_an_hour_at_most() -> None:
    assert decode({"state": "down", "wait": 1e9}).wait_s == 3600
    assert decode({"state": "down", "operator": 1}).is_by_operator is False


@pytest.mark.parametrize(
    "entry",
    [WELL, ill(), ill(Standing.DOWN), order(Standing.DOWN, NOW), after_check(ill(), "x", NOW)],
)
def test_entry_survives_the_file(entry: Entry) -> None:
    assert decode(entry.encode()) == entry


@pytest.mark.parametrize(
    "garbage",
    [None, 5, "down", [], {}, {"state": "sick"}, {"state": []}, {"state": "down", "since": "x"}],
)
def test_garbage_is_no_sickness(garbage: Any) -> None:
    assert decode(garbage) == WELL


def test_fields_that_are_missing_have_defaults() -> None:
    assert decode({"state": "down"}) == replace(WELL, standing=Standing.DOWN)
