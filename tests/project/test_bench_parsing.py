"""What the comparison reads (clients' reports, /proc) and how it calculates with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import nginx_config, table
from bench.cpu import Memory, Stat, parse_smaps_rollup, parse_stat
from bench.figures import Ratio, Sample, paired_ratio, summarize
from bench.goals import GOALS, Figure, Goal
from bench.options import parse
from bench.report import LoadError, Report, format_report, parse_report
from bench.rounds import alternating
from bench.sink import percentile
from bench.works import NAMES, WORKS

WRK_OUTPUT = """\
Running 2s test @ http://127.0.0.1:7500/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   451.74us  232.38us   4.77ms   91.45%
    Req/Sec    35.88k    12.20k   53.21k    66.67%
  Latency Distribution
     99%    1.77ms
  44000 requests in 2.00s, 54.28MB read
Requests/sec:  22000.00
Transfer/sec:     27.42MB
bench requests=44000 duration_us=2000000 p99_us=1770 connect=0 read=0 write=0 timeout=0 status=0
"""


def test_report_of_wrk() -> None:
    assert Report(44000, 2.0, 0.00177) == parse_report(WRK_OUTPUT)


@pytest.mark.parametrize("error", ["connect", "read", "write", "timeout", "status"])
def test_any_error_fails_the_run_and_is_named(error: str) -> None:
    with pytest.raises(LoadError, match=f"7 {error}"):
        parse_report(WRK_OUTPUT.replace(f"{error}=0", f"{error}=7"))


def test_a_run_without_report_or_without_requests_fails() -> None:
    with pytest.raises(LoadError, match="no report"):
        parse_report("unable to connect to 127.0.0.1:7500 Connection refused\n")
    with pytest.raises(LoadError, match="no request"):
        parse_report(WRK_OUTPUT.replace("requests=44000", "requests=0"))


def test_report_of_the_sink_reads_like_that_of_wrk() -> None:
    assert Report(12, 2.5, 0.001) == parse_report(format_report(12, 2.5, 0.001, 0, 0))
    with pytest.raises(LoadError, match="1 read, 2 status"):
        parse_report(format_report(12, 2.5, 0.001, read=1, status=2))


@pytest.mark.parametrize("name", ["nginx", "a b", "(sd-pam)", "x) R 1 (y", ") ", ""])
def test_stat_whatever_the_process_is_called(name: str) -> None:
    line = f"4242 ({name}) S 17 4242 4242 0 -1 4194560 900 80 7 6 100 20 3 4 20 0 1 0 99 0\n"
    assert Stat(4242, name, parent=17, ticks=127) == parse_stat(line)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this system")
def test_stat_of_this_process() -> None:
    stat = parse_stat(Path("/proc/self/stat").read_text())
    assert (os.getpid(), os.getppid()) == (stat.pid, stat.parent)
    times = os.times()
    used_s = times.user + times.system + times.children_user + times.children_system
    assert used_s == pytest.approx(stat.ticks / os.sysconf("SC_CLK_TCK"), abs=0.2)


def test_smaps_rollup() -> None:
    text = (
        "55d0-7fff ---p 00000000 00:00 0                          [rollup]\n"
        "Rss:                9000 kB\nPss:                4000 kB\nPss_Dirty:          3000 kB\n"
    )
    assert Memory(9000 * 1024, 4000 * 1024) == parse_smaps_rollup(text)


def sample(rate: float, cpu_us: float = 10.0) -> Sample:
    """A run of two seconds."""
    requests = int(rate * 2)
    return Sample(requests, 2.0, p99_s=0.001, cpu_s=requests * cpu_us / 1e6)


def test_figures_of_one_run() -> None:
    one = Sample(requests=1000, duration_s=2.0, p99_s=0.003, cpu_s=0.5)
    assert (one.rate, one.cpu_us) == (500.0, 500.0)


def test_ratios_are_taken_by_round_and_not_of_medians() -> None:
    node = [sample(50), sample(200), sample(90)]
    nginx = [sample(100), sample(100), sample(100)]
    assert Ratio(0.9, 0.5, 2.0) == paired_ratio(node, nginx, lambda one: one.rate)
    slower_machine = [sample(10), sample(300), sample(20)]
    twice = [sample(20), sample(600), sample(40)]
    assert Ratio(2.0, 2.0, 2.0) == paired_ratio(twice, slower_machine, lambda one: one.rate)


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([sample(1)], [sample(1), sample(2)], lambda one: one.rate)


def test_summary_has_medians_and_the_base_has_no_ratio() -> None:
    base = [sample(100, cpu_us=10), sample(300, cpu_us=30), sample(200, cpu_us=20)]
    own = summarize(base, None)
    assert own.rate == 200
    assert own.cpu_us == pytest.approx(20)
    assert own.rate_ratio is own.cpu_ratio is None
    against = summarize(base, base)
    assert against.cpu_ratio is not None
    assert against.cpu_ratio.median == pytest.approx(1)


def test_percentile_is_a_value_that_was_seen() -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], 0.99) == 99.0
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([], 0.99) == 0.0


def test_every_other_round_is_reversed() -> None:
    order = list(alternating(["a", "b", "c"], 3))
    assert order == [["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"]]


def test_goals_are_judged_as_they_are_printed() -> None:
    most = Goal(Figure.CPU_RATIO, 1.3)
    assert most.is_met(1.304)
    assert not most.is_met(1.306)
    least = Goal(Figure.RATE_RATIO, 1.0, at_least=True)
    assert least.is_met(0.996)
    assert not least.is_met(0.994)


def test_every_work_but_one_has_a_goal() -> None:
    assert set(NAMES) - set(GOALS) == {"put-64k"}


def test_row_says_whether_the_goal_is_met() -> None:
    samples = {"mogstored": [sample(90, cpu_us=16)], "nginx": [sample(100, cpu_us=10)]}
    text = table.rows("get-1k", 1024, 16, samples, base="nginx", judged="mogstored")
    node, nginx = text.splitlines()
    assert node.split()[:3] == ["get-1k", "16", "mogstored"]
    assert "1.60 (1.60-1.60)" in node
    assert node.endswith("MISSED")
    assert nginx.endswith("base")


def test_paths_of_works_are_legal_for_the_node_and_never_shared() -> None:
    paths = [work.path(i) for work in WORKS for i in (0, work.path_count(1000) - 1)]
    assert len(set(paths)) == len(paths)
    assert max(map(len, paths)) <= 37


def test_puts_in_flight_have_a_path_each() -> None:
    for work in WORKS:
        if work.method == "PUT":
            assert work.path_count(128) > 128


def test_options_quick_and_filters() -> None:
    quick = parse(["--quick", "--works", "get-1k,idle", "--skip-idle"])
    assert (
        quick.works,
        quick.connections,
        quick.rounds,
        quick.seconds,
    ) == (["get-1k"], [16], 3, 1)
    assert parse(["--quick", "--rounds", "7"]).rounds == 7


@pytest.mark.parametrize(
    "wrong",
    [
        ["--works", "get-2k"],
        ["--connections", "0"],
        ["--rounds=x"],
        ["--cmogstored", "/no/such/program"],
        ["--json", "/no/such/directory/file"],
        ["--docroot-parent", "/no/such/directory"],
    ],
)
def test_options_that_make_no_sense_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert "error" in capsys.readouterr().err


def test_nginx_without_a_module_is_not_asked_for_its_directory() -> None:
    text = nginx_config.render(Path("/h"), Path("/h/docroot"), 7500, 4096)
    lean = nginx_config.without_absent_modules(text, "--without-http_scgi_module")
    assert "scgi" in text
    assert "scgi" not in lean
    assert "uwsgi_temp_path" in lean
