"""A process that ends offers what its writers keep, while a reader may still take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mogstored.log.bounded_writer import FlushResult
from mogstored.process import flusher
from mogstored.process.flusher import Flusher, flush_before_exit

if TYPE_CHECKING:
    from collections.abc import Callable

DONE, FULL, UNREACHABLE = FlushResult.DONE, FlushResult.FULL, FlushResult.UNREACHABLE


class Writer:
    """A writer with a result for each flush."""

    on_pending: Callable[[], None]

    def __init__(self, *results: FlushResult) -> None:
        self.results = list(results)

    def flush(self) -> FlushResult:
        return self.results.pop(0)


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(flusher, "monotonic", lambda: made.now)
    monkeypatch.setattr(flusher, "sleep", made.sleep)
    return made


@pytest.mark.parametrize("end", [DONE, UNREACHABLE])
def test_writer_is_offered_again_while_its_reader_is_full(clock: Clock, end: FlushResult) -> None:
    writers = [Writer(FULL, FULL, FULL, end), Writer(FULL, end), Writer(end)]
    flush_before_exit(writers)
    assert [writer.results for writer in writers] == [[], [], []]
    assert clock.now == pytest.approx(1000.03)


def test_reader_that_stays_full_is_given_up_in_time(clock: Clock) -> None:
    flush_before_exit([Writer(*[FULL] * 1000)])
    assert clock.now == pytest.approx(1002.0, abs=0.011)
    writer = Writer(FULL, FULL)
    flush_before_exit([writer], 0.0)
    assert writer.results == [FULL], "it was offered once"


def test_pause_between_offers_doubles_up_to_a_second_and_ends_when_all_is_taken() -> None:
    later = Writer(*[FULL, UNREACHABLE] * 4, DONE, FULL)
    flushing = Flusher(lambda: None)
    for writer in (Writer(*[DONE] * 10), later):
        flushing.add(writer)
    seen = []
    for _ in range(10):
        flushing.flush()
        seen.append(flushing.interval_s)
    assert seen == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, None, 0.05]


def test_writer_that_keeps_something_wakes_the_main_thread() -> None:
    woken: list[None] = []
    flushing, writer = Flusher(lambda: woken.append(None)), Writer()
    flushing.add(writer)
    writer.on_pending()
    assert woken == [None]
    flushing.remove(writer)
    flushing.flush()
    assert flushing.interval_s is None
