"""The figures of mogpoll: how they are judged, and a small run of each part."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

import pytest

from bench.poller import cycle, memory, pingpong
from bench.poller.contenders import Mogpoll, backend, bare, bare_name
from bench.poller.descriptors import pairs, readable
from bench.poller.findings import cycle_rows, growth_row, memory_rows, pingpong_rows
from bench.poller.memory import Growth
from bench.poller.options import PARTS, parse
from bench.poller.pingpong import Entry, Score
from tests.project._tree import ROOT
from tests.support.waiting import wait_until


@pytest.fixture
def _children_find_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of the wheel: a process imports it from the checkout, where it starts."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


@pytest.mark.parametrize(("ours_us", "verdict"), [(3.5, "met"), (3.51, "MISSED")])
def test_cost_on_top_of_epoll_is_judged_by_the_median_of_the_rounds(
    ours_us: float, verdict: str
) -> None:
    row, below = cycle_rows("select.epoll", [ours_us, 99.0, 1.0], [2.0, 2.0, 2.0])
    assert (row.verdict, below.verdict) == (verdict, "")
    assert row.figure.startswith(f"{ours_us - 2:.2f} (-1.00-97.00) us")


def test_cost_on_top_of_kqueue_has_no_goal() -> None:
    assert cycle_rows("select.kqueue", [9.0], [2.0])[0].is_met is None


@pytest.mark.parametrize(("many_us", "verdict"), [(2.4, "met"), (2.42, "MISSED")])
def test_growth_is_judged_by_the_ratios_of_the_rounds(many_us: float, verdict: str) -> None:
    assert growth_row("mogpoll", 10, [2.0], [many_us], judged=True).verdict == verdict
    assert growth_row("mogpoll", 10, [2.0], [many_us], judged=False).verdict == ""


@pytest.mark.parametrize(
    ("worst", "verdict"),
    [(Growth(10, 200), "met"), (Growth(10, 201), "MISSED"), (Growth(201, 10), "MISSED")],
)
def test_memory_is_judged_at_its_worst_size_and_by_either_measure(
    worst: Growth, verdict: str
) -> None:
    row, _ = memory_rows("epoll", {10: Growth(1, 1), 11: worst, 12: Growth(1, 1)})
    assert row.verdict == verdict


def test_pingpong_is_set_beside_the_bare_calls_with_one_thread() -> None:
    ours, base = Entry(Mogpoll, "mogpoll", 8), Entry(bare, "select.epoll", 1)
    scores = {ours: [Score(100, 1.0, 0.002)], base: [Score(200, 2.0, 0.002)]}
    _, row, base_row = pingpong_rows("select.epoll", scores)
    assert base_row.figure.endswith("base")
    assert row.what == "  mogpoll, 8 threads"
    assert row.figure.split() == ["100/s", "20.00", "us", "CPU", "2.00", "(2.00-2.00)", "x"]


def test_all_parts_unless_told_otherwise() -> None:
    assert parse([]).parts == list(PARTS)
    assert parse(["--quick", "--rounds", "5", "--parts", "memory,cycle"]).parts == [
        "memory",
        "cycle",
    ]


@pytest.mark.parametrize("wrong", [["--parts", "growth,sleep"], ["--rounds", "0"]])
def test_options_that_make_no_sense_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(("ready", "registered"), [(1, 1), (3, 10), (4, 4)])
def test_as_many_descriptors_are_readable_as_asked_for(ready: int, registered: int) -> None:
    with readable(ready, registered) as (full, empty):
        assert len({*full, *empty}) == registered
        poll = select.poll()
        for fd in (*full, *empty):
            poll.register(fd, select.POLLIN)
        assert sorted(fd for fd, _ in poll.poll(0)) == sorted(full)


@pytest.mark.parametrize("make", [Mogpoll, bare], ids=["mogpoll", "bare"])
def test_a_cycle_leaves_the_descriptor_armed(make: type[Mogpoll]) -> None:
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


@pytest.mark.parametrize("entry", pingpong.entries(many=4), ids=lambda e: f"{e.name}-{e.threads}")
def test_ball_is_bounced_by_every_contender(entry: Entry) -> None:
    score = pingpong.play(entry, seconds=0.1, count=20)
    assert score.events > 20
    assert 0 < score.cpu_us < score.wall_s * 1e6


@pytest.mark.usefixtures("_children_find_the_bench")
def test_memory_of_a_registration_is_within_its_goal() -> None:
    found = memory.measure(4000)
    # A number and its place in a table are there at least.
    assert 32 < found.allocated <= 200


@pytest.mark.usefixtures("_children_find_the_bench")
def test_one_command_prints_and_writes_what_it_found(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    argv = [sys.executable, "-m", "bench.poller", "--quick", "--parts", "cycle"]
    done = subprocess.run(
        [*argv, "--json", str(file)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    written = json.loads(file.read_text())
    assert written["header"]["backend"] == backend()
    what = [each["what"] for each in written["results"]]
    assert what == [f"wait and rearm, on top of {bare_name()}", f"{bare_name()} alone"]
    assert all(each in done.stdout for each in what)
