"""The accept balance: its arithmetic, and a small run of each experiment."""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from bench.balance import latency, ways
from bench.balance.arrivals import Shares, arrive, shares_of
from bench.balance.latency import milliseconds
from bench.balance.offered import Client, Offer, schedule
from bench.balance.report import latency_lines, spread_lines
from bench.balance.server import LONG, LONG_S, SHORT
from bench.balance.ways import Layout, Way, layouts, serving

if TYPE_CHECKING:
    from bench.environment import Environment

EVEN, ALL_IN_ONE = Shares((100, 100, 100, 100)), Shares((400, 0, 0, 0))


def test_shares_count_every_process() -> None:
    assert shares_of([0, 2, 2], 3) == Shares((1, 0, 2))
    assert (EVEN.unevenness, ALL_IN_ONE.unevenness) == (1.0, 4.0)
    assert str(Shares((3, 1))) == "1.50  (3 1)"


@pytest.mark.parametrize("takers", [[], [0, 3]])
def test_shares_of_nothing_or_of_an_unknown_process_are_refused(takers: list[int]) -> None:
    with pytest.raises(ValueError, match="of 3"):
        shares_of(takers, 3)


@pytest.mark.parametrize(
    ("way", "counts", "verdict"),
    [
        (Way.BLOCKING, (105, 95, 100, 100), "met"),
        (Way.BLOCKING, (106, 94, 100, 100), "MISSED"),
        # One connection would decide; the goal is for blocking accept alone.
        (Way.BLOCKING, (2, 1, 1, 1), ""),
        (Way.POLL, (400, 0, 0, 0), ""),
    ],
)
def test_goal_is_for_slow_arrivals_and_blocking_accept(
    way: Way, counts: tuple[int, ...], verdict: str
) -> None:
    slow, bursts = spread_lines(way, Shares(counts), ALL_IN_ONE)
    assert (slow.verdict, bursts.verdict) == (verdict, "")


def test_exclusive_waking_is_skipped_where_epoll_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.EPOLLEXCLUSIVE", raising=False)
    assert "EPOLLEXCLUSIVE" in str(ways.why_not(Way.EXCLUSIVE))


@pytest.mark.parametrize(("system", "is_there"), [("Linux", 1), ("FreeBSD", 1), ("Darwin", 0)])
def test_reuseport_is_taken_only_where_it_balances(
    system: str, is_there: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    assert (ways.why_not(Way.REUSEPORT) is None) == bool(is_there)


def test_latencies_are_medians_of_rounds_and_the_longest_of_all_is_kept() -> None:
    found = milliseconds([[0.001, 0.002, 0.003], [0.001, 0.004, 0.1], [0.001, 0.001, 0.005]])
    assert str(found) == "p50 2.00  p99 5.0  max 5 (3-100)"


def test_every_layout_has_the_same_number_of_threads() -> None:
    assert {each.processes * each.threads for each in layouts(3, 2)} == {6}


def test_schedule_is_the_same_each_time_and_offers_what_was_asked_for() -> None:
    planned = schedule(Offer(clients=10, per_second=100), 50.0, seed=1)
    assert planned == schedule(Offer(clients=10, per_second=100), 50.0, seed=1)
    assert sum(map(len, planned)) == pytest.approx(5000, rel=0.1)
    assert all(times == sorted(times) and times[-1] < 50 for times in planned)


def test_request_that_had_to_wait_for_the_last_answer_counts_from_when_it_was_due() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        now = time.monotonic()
        client = Client(ours, SHORT, deque([now - 5, now - 4]))
        for _ in range(2):
            client.ask(time.monotonic())
            theirs.send(theirs.recv(1))
            client.take_answer()
    prompt_s, late_s = client.latencies_s
    assert prompt_s < 4 < late_s


@pytest.mark.parametrize("way", Way)
def test_every_connection_is_taken(way: Way) -> None:
    if reason := ways.why_not(way):
        pytest.skip(reason)
    with serving(Layout("", 2, 0, way)) as (address, processes):
        # A connection that was not taken, or not reported, fails the run.
        assert len(arrive(address, processes, [1] * 5)) == 5
        assert len(arrive(address, processes, [20, 20])) == 40


def test_blocking_accept_serves_processes_in_turn() -> None:
    with serving(Layout("", 3, 0, Way.BLOCKING)) as (address, processes):
        takers = arrive(address, processes, [1] * 150)
    counts = shares_of(takers, 3).counts
    # A process that the system keeps from running misses a turn or a few.
    assert max(counts) - min(counts) <= 15
    turns = [set(takers[i : i + 3]) for i in range(len(takers) - 2)]
    # Chance would fill two of nine.
    assert sum(len(turn) == 3 for turn in turns) > len(turns) / 2


def test_every_layout_answers_all_that_was_offered(environment: Environment) -> None:
    compared = [each for each in layouts(2, 1) if ways.why_not(each.way) is None]
    found = latency.measure(compared, environment)
    planned = {
        kind: [sum(map(len, schedule(offer, environment.seconds, seed))) for seed in (1, 2)]
        for kind, offer in latency.offers(threads=2).items()
    }
    for layout, rounds in found.items():
        assert [len(each.short_s) for each in rounds] == planned[SHORT]
        assert [len(each.long_s) for each in rounds] == planned[LONG]
        assert min(rounds[0].long_s) >= LONG_S
        assert len(list(latency_lines(layout, rounds))) == 2
