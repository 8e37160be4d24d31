"""How the bench parses reports of clients, calculates, judges and draws."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.balance import report as balance
from bench.balance.arrivals import Shares
from bench.balance.latency import Round
from bench.balance.ways import Way
from bench.base import plots
from bench.base.figures import Sample, best_of, by_round, cpu_us, percentile, rate, spread
from bench.base.goals import CPU, GOALS, RATE, Goal
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome, heading, judged, row
from bench.environment import alternating
from bench.isolation import report as isolation
from bench.isolation.situations import Pair, both
from bench.load.wrk import LoadError, parse_report
from bench.requests.beside import set_beside
from bench.requests.devices import round_s
from bench.requests.growth import size_goal
from bench.requests.quick import RECORDED, TOLERANCE, guard, read_recorded, record
from bench.servers import nginx_config
from bench.servers.peers import PeerFailed
from bench.servers.workloads import KIB, MIB, PUT_AGAIN, WORKLOADS, fid_path

REPORT = (
    "Running 2s test @ http://127.0.0.1:7500/\n  44000 requests in 2.00s, 54.28MB read\n"
    "bench requests=44000 duration_us=2000000 p50_us=400 p99_us=1770 max_us=9000 "
    "connect=0 read=0 write=0 timeout=0 status=0\n"
)
WELL = Sample(2000, 2.0, 0.010, 1.0, 0.001, 0.020)
WORSE = Sample(1000, 2.0, 0.011, 1.0, 0.002, 0.040)
WEDGED = Sample(0, 2.0, math.inf)


def sample(per_second: float, us: float = 10.0) -> Sample:
    """A run of two seconds."""
    requests = int(per_second * 2)
    return Sample(requests, 2.0, 0.001, requests * us / 1e6)


def test_report_of_wrk() -> None:
    assert parse_report(REPORT) == Sample(44000, 2.0, 0.00177, 0.0, 0.0004, 0.009)


@pytest.mark.parametrize("error", ["connect", "read", "write", "timeout", "status"])
def test_any_error_fails_the_run_and_is_named(error: str) -> None:
    with pytest.raises(LoadError, match=f"7 {error}"):
        parse_report(REPORT.replace(f"{error}=0", f"{error}=7"))


@pytest.mark.parametrize(
    "text", ["", "unable to connect\n", 2 * REPORT, REPORT.replace("44000 dur", "0 dur")]
)
def test_run_without_one_report_or_without_requests_fails(text: str) -> None:
    with pytest.raises(LoadError, match="no re"):
        parse_report(text.replace("=44000", "=0") if text == REPORT else text)


def test_server_that_answers_nothing_is_a_result_where_it_may_hang() -> None:
    text = REPORT.replace("=44000", "=0").replace("timeout=0", "timeout=16")
    assert parse_report(text, may_hang=True) == WEDGED
    with pytest.raises(LoadError, match="3 status"):
        parse_report(text.replace("status=0", "status=3"), may_hang=True)


def test_ratios_are_taken_by_round_and_not_of_medians() -> None:
    node, nginx = [sample(50), sample(200), sample(90)], [sample(100)] * 3
    assert by_round(node, nginx, rate) == [0.5, 2.0, 0.9]
    assert by_round([sample(1, us=12)], [sample(1, us=10)], cpu_us) == [pytest.approx(1.2)]
    with pytest.raises(ValueError, match="zip"):
        by_round(node, nginx[:2], rate)


def test_best_of_others_is_taken_round_by_round() -> None:
    slow, fast = sample(10), sample(20)
    assert best_of([[slow, fast], [fast, slow]]) == [fast, fast]


def test_percentile_is_a_value_that_was_seen() -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], 0.99) == 99.0
    assert (percentile([5.0], 0.99), percentile([], 0.99)) == (5.0, 0.0)


def test_spread_is_median_and_extremes() -> None:
    assert spread([3.0, 1.0, 2.0], " s") == "2.00 (1.00-3.00) s"


def test_every_other_round_is_reversed() -> None:
    assert list(alternating(["a", "b"], 3)) == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_goals_are_judged_as_they_are_printed() -> None:
    most, least = Goal(CPU, 1.3), Goal(RATE, 1.0, at_least=True)
    assert [most.is_met(1.304), most.is_met(1.306)] == [True, False]
    assert [least.is_met(0.996), least.is_met(0.994)] == [True, False]
    assert (str(most), str(least)) == ("CPU ratio <= 1.3", "rate ratio >= 1")


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.304, "met"), (1.306, "MISSED"), (math.inf, "MISSED")]
)
def test_line_is_judged_by_the_median_of_the_rounds_or_by_the_worst(
    value: float, verdict: str
) -> None:
    found = judged("what", GOALS["get-1k"], [0.1, value, 99.0], {})
    assert found.verdict == verdict
    assert judged("what", GOALS["get-1k"], [0.1, value, 99.0], {}, by=max).verdict == "MISSED"


def test_rows_stand_below_their_heading() -> None:
    text = row(Outcome("a", "c", "b", True))
    columns = [heading().index(title) for title in ("what", "goal", "figure", "verdict")]
    assert [text[column] for column in columns] == ["a", "b", "c", "m"]
    assert row(Outcome("a", "c")).endswith("c")


def test_node_is_judged_by_processor_time_or_by_the_rate_of_the_best() -> None:
    samples = {"node": [sample(90, us=16)], "nginx": [sample(100, us=10)], "c": [sample(80)]}
    line, *peers = set_beside("GET", GOALS["get-1k"], samples)
    assert (line.verdict, line.figure) == ("MISSED", "1.60 (1.60-1.60); rate 0.90 (0.90-0.90)")
    assert [peer.what.strip() for peer in peers] == list(samples)
    line, *_ = set_beside("GET", GOALS["get-1m"], samples, MIB)
    assert (line.verdict, line.figure[:4]) == ("MISSED", "0.90")
    assert next(set_beside("GET", None, samples)).verdict == ""


@pytest.mark.parametrize(
    ("size", "goal"), [(KIB, "CPU ratio <= 1.3"), (MIB, "rate ratio >= 1"), (16 * MIB, "None")]
)
def test_size_of_a_file_is_judged_where_it_has_a_goal(size: int, goal: str) -> None:
    assert str(size_goal(size)) == goal


def test_usage_round_that_did_not_come_is_no_measurement() -> None:
    assert round_s([1, 1], [2_000_000_000, 2_500_000_000]) == 0.5
    with pytest.raises(PeerFailed, match="no usage round"):
        round_s([1, 5], [2, 5])


def test_every_workload_has_a_goal_and_files_of_its_own() -> None:
    assert WORKLOADS.keys() <= GOALS.keys()
    works = [*WORKLOADS.values(), PUT_AGAIN]
    paths = [work.path(i) for work in works for i in (0, work.files - 1)]
    assert len(set(paths)) == len(paths)
    assert fid_path(7, 123456789) == "/dev7/0/123/456/0123456789.fid"


def test_ratio_beyond_the_tolerance_is_a_regression() -> None:
    assert guard("get-1k", [2 * TOLERANCE, 9.0], 2.0).verdict == "met"
    assert guard("get-1k", [1.31, 9.0], 1.0).verdict == "MISSED"


def test_record_is_complete_and_can_be_written_anew(tmp_path: Path) -> None:
    assert all(read_recorded(name) > 0 for name in ("get-1k", "get-64k", "put-1k", "put-64k"))
    file = tmp_path / RECORDED.name
    record([guard("get-1k", [1.25, 1.5], 1.0)], file)
    assert json.loads(file.read_text()) == {"get-1k": 1.25}
    with pytest.raises(Unmeasurable, match="no ratio for get-64k"):
        read_recorded("get-64k", file)


@pytest.mark.parametrize("aio_threads", [False, True])
def test_nginx_gets_what_it_is_asked_for_and_can(aio_threads: bool) -> None:
    text = nginx_config.render(Path("/h"), 7500, 4096, 2, aio_threads=aio_threads)
    assert ("aio threads;" in text) == aio_threads
    assert "worker_processes 2;" in text
    lean = nginx_config.without_absent_modules(text, "--without-http_scgi_module")
    assert ("scgi" in text, "scgi" in lean, "uwsgi_temp_path" in lean) == (True, False, True)


def test_before_and_after_make_one_figure() -> None:
    one, other = Sample(1, 2.0, 3.0, 4.0, 5.0, 6.0), Sample(3, 4.0, 5.0, 6.0, 7.0, 8.0)
    assert both(one, other) == Sample(4, 6.0, 4.0, 10.0, 6.0, 7.0)
    assert math.isinf(both(WELL, WEDGED).p99_s)


@pytest.mark.parametrize(
    ("during", "figure", "verdict"),
    [
        (Sample(1000, 2.0, 0.012, 0.0, 0.001, 0.02), "p99 1.20 x (1.20-1.20)", "met"),
        (Sample(1000, 2.0, 0.0121, 0.0, 0.001, 0.02), "p99 1.21 x (1.21-1.21)", "MISSED"),
        (WEDGED, "not served", "MISSED"),
    ],
)
def test_neighbours_of_a_hung_device_are_judged_by_their_p99(
    during: Sample, figure: str, verdict: str
) -> None:
    found = {"mogstored, 1 process": [Pair(WELL, during)], "nginx": [Pair(WELL, during)]}
    _, line, _, shown, nginx, *_ = isolation.lines("title", found, GOALS["hung"])
    assert (line.figure, line.verdict, nginx.verdict) == (figure, verdict, "")
    assert ("none" in shown.figure) == (during is WEDGED)


def test_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(Unmeasurable, match="pip install --group plots"):
        plots.require_matplotlib()


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_pictures_name_all_and_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    pairs = {"mogstored": [Pair(WELL, WORSE)], "nginx": [Pair(WELL, WEDGED)]}
    disks = [*isolation.lines(isolation.HUNG, pairs), *isolation.lines(isolation.SLOW, pairs)]
    even = Shares((100, 100, 100, 100))
    rounds = [Round([0.001, 0.009], [0.02], Shares((1, 0)))]
    queues = [
        *balance.spread_lines(Way.BLOCKING, even, even),
        *balance.latency_lines("one queue", rounds),
    ]
    for plot, outcomes, names in (
        (isolation.plot, disks, {"mogstored", "nginx", "no answer"}),
        (balance.plot, queues, {Way.BLOCKING.value, "one queue"}),
    ):
        files = [tmp_path / "1.svg", tmp_path / "2.svg"]
        for file in files:
            plot(outcomes, file)
        assert files[0].read_bytes() == files[1].read_bytes()
        assert names <= {each.text for each in ElementTree.parse(files[0]).iter()}
