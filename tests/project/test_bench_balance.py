"""The accept balance: its arithmetic, a small run of each experiment, and its ways out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import psutil
import pytest

from bench.balance import arrivals, latency, plot, ways
from bench.balance.findings import Spread, latency_rows, milliseconds, spread_rows
from bench.balance.latency import LONG_S, Round
from bench.balance.layouts import Layout, layouts
from bench.balance.offered import Client, Offer, schedule
from bench.balance.options import parse
from bench.balance.server import LONG, SHORT
from bench.balance.shares import Shares, shares_of
from bench.balance.ways import Way
from tests.project._tree import ROOT

EVEN, ALL_IN_ONE = Shares((100, 100, 100, 100)), Shares((400, 0, 0, 0))
ROUND = Round(short_s=[0.001, 0.002, 0.009], long_s=[0.02], long_clients=Shares((1, 0)))


@pytest.fixture
def _children_find_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of the wheel: a process imports it from the checkout, where it starts."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


def test_shares_count_every_process() -> None:
    assert shares_of([0, 2, 2], 3) == Shares((1, 0, 2))
    assert (EVEN.unevenness, ALL_IN_ONE.unevenness) == (1.0, 4.0)
    assert str(Shares((3, 1))) == "1.50  (3 1)"


@pytest.mark.parametrize("takers", [[], [0, 3]])
def test_shares_of_nothing_or_of_an_unknown_process_are_refused(takers: list[int]) -> None:
    with pytest.raises(ValueError, match="of 3"):
        shares_of(takers, 3)


def test_goal_is_for_blocking_accept_and_slow_arrivals_alone() -> None:
    rows = spread_rows({way: Spread(ALL_IN_ONE, ALL_IN_ONE) for way in Way})
    assert [row.what for row in rows if row.verdict] == [f"{Way.BLOCKING.value}: 400, slowly"]


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [((105, 95, 100, 100), "met"), ((106, 94, 100, 100), "MISSED"), ((2, 1, 1, 1), "")],
)
def test_goal_is_judged_where_one_connection_does_not_decide(
    counts: tuple[int, ...], verdict: str
) -> None:
    row, _ = spread_rows({Way.BLOCKING: Spread(Shares(counts), EVEN)})
    assert row.verdict == verdict


def test_way_that_is_missing_here_is_shown_with_the_reason() -> None:
    (row,) = spread_rows({Way.EXCLUSIVE: "not here"})
    assert (row.figure, row.verdict) == ("skipped: not here", "")


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


@pytest.mark.parametrize(
    "wrong",
    [["--processes", "1"], ["--processes=65"], ["--seconds", "nan"], ["--plot", "picture.gif"]],
)
def test_options_that_make_no_sense_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert "error" in capsys.readouterr().err


def test_plot_without_matplotlib_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(plot.PlotMissing, match="pip install"):
        plot.draw(tmp_path / "a.svg", {}, {})


def test_plot_of_the_same_findings_is_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib: `pip install --group plots`")
    found: dict[Way, Spread | str] = {Way.BLOCKING: Spread(EVEN, EVEN), Way.EXCLUSIVE: "none"}
    rounds = {Layout("one queue", 1, 2, Way.BLOCKING): [ROUND]}
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    plot.draw(first, found, rounds)
    plot.draw(second, found, rounds)
    assert first.read_bytes() == second.read_bytes()
    assert Way.BLOCKING.value in first.read_text()
    assert Way.EXCLUSIVE.value not in first.read_text()


@pytest.mark.usefixtures("_children_find_the_bench")
@pytest.mark.parametrize("way", Way)
def test_every_connection_is_taken_by_somebody(way: Way) -> None:
    if reason := ways.why_not(way):
        pytest.skip(reason)
    with arrivals.accepting(way, 2) as crowd:
        # A connection that was not taken, or not told of, fails the run.
        assert len(crowd.come([1] * 5)) == 5
        assert len(crowd.come([20, 20])) == 40


@pytest.mark.usefixtures("_children_find_the_bench")
def test_blocking_accept_serves_processes_in_turn() -> None:
    processes = 3
    with arrivals.accepting(Way.BLOCKING, processes) as crowd:
        takers = crowd.come([1] * 150)
    counts = shares_of(takers, processes).counts
    # A process that the system keeps from running misses a turn or a few.
    assert max(counts) - min(counts) <= 15
    turns = [set(takers[i : i + processes]) for i in range(len(takers) - processes + 1)]
    full = sum(len(turn) == processes for turn in turns)
    # Chance would fill two of nine.
    assert full > len(turns) / 2


@pytest.mark.usefixtures("_children_find_the_bench")
def test_every_layout_answers_all_that_was_offered() -> None:
    compared = [each for each in layouts(2, 1) if ways.why_not(each.way) is None]
    found = latency.measure(compared, rounds=1, seconds=0.3, progress=lambda _: None)
    planned = {
        kind: sum(map(len, schedule(offer, 0.3, seed=1)))
        for kind, offer in latency.offers(threads=2).items()
    }
    for (only,) in found.values():
        assert (len(only.short_s), len(only.long_s)) == (planned[SHORT], planned[LONG])
        assert min(only.long_s) >= LONG_S
    assert len(latency_rows(found)) == 2 * len(compared)


@pytest.mark.usefixtures("_children_find_the_bench")
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_no_process_is_left_on_any_way_out(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "bench.balance", "--plot", str(tmp_path / "a.svg")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bench:
        try:
            children = _accepting(psutil.Process(bench.pid))
            os.kill(bench.pid, number)
            bench.communicate(timeout=20)
        finally:
            bench.kill()
    assert bench.returncode == status
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def _accepting(bench: psutil.Process) -> list[psutil.Process]:
    """All processes of the first way, whether they accept already or are about to."""
    deadline = time.monotonic() + 20
    while len(children := bench.children()) < 4:
        assert time.monotonic() < deadline, "the benchmark starts no processes"
        time.sleep(0.01)
    return children
