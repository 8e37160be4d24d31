"""Watchers here and in other processes decide whether the feed runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import pytest

from mogstored.process.utilization_relay import MeasuringFeed
from tests.support.threads import Running
from tests.support.waiting import PATIENCE_S


class GatedFeed:
    """Holds its first caller until the test opens the gate."""

    def __init__(self) -> None:
        self.wanted: bool | None = None
        self.entered, self.gate = threading.Event(), threading.Event()

    def start(self, on_report: Callable[[Mapping[str, str]], None]) -> None: ...

    def stop(self) -> None: ...

    def want(self, wanted: bool) -> None:
        if not self.entered.is_set():
            self.entered.set()
            assert self.gate.wait(PATIENCE_S)
        self.wanted = wanted


@pytest.mark.parametrize("here_first", [True, False], ids=["here", "elsewhere"])
@pytest.mark.parametrize("first", [True, False], ids=["wanted", "unwanted"])
def test_feed_ends_in_the_right_state_when_two_change_their_minds(
    here_first: bool, first: bool
) -> None:
    """The second update may not overtake the first."""
    feed = GatedFeed()
    measuring = MeasuringFeed(feed, cast("Any", None))
    ways = [measuring.want, measuring.want_elsewhere]
    if not here_first:
        ways.reverse()
    one = Running(lambda: ways[0](first))
    assert feed.entered.wait(PATIENCE_S)
    other = Running(lambda: ways[1](not first))
    # The second may overtake the first here, or has to wait.
    other.thread.join(0.1)
    feed.gate.set()
    for each in (one, other):
        each.result()
    assert feed.wanted is True


def test_nothing_is_wanted_at_first() -> None:
    """The end of interest in one process must not start the feed of another."""
    for way in ("want", "want_elsewhere"):
        feed = GatedFeed()
        feed.gate.set()
        getattr(MeasuringFeed(feed, cast("Any", None)), way)(False)
        assert feed.wanted is False


def test_feed_ends_in_the_right_state_after_many_changes_of_two() -> None:
    feed = GatedFeed()
    feed.gate.set()
    measuring = MeasuringFeed(feed, cast("Any", None))

    def alternate(want: Callable[[bool], None], last: bool) -> None:
        for number in range(200):
            want(bool(number % 2))
        want(last)

    for here, elsewhere in ((True, False), (False, True), (False, False)):
        both = [
            Running(partial(alternate, measuring.want, here)),
            Running(partial(alternate, measuring.want_elsewhere, elsewhere)),
        ]
        for each in both:
            each.result()
        assert feed.wanted is (here or elsewhere)
