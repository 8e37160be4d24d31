"""The budgets: every goal has its row, how rows are judged, and short runs of cheap ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psutil
import pytest

from bench import devices, tools
from bench.balance import workers
from bench.budgets import requests, uploads
from bench.budgets.__main__ import Run, summary, unmeasured
from bench.budgets.options import parse
from bench.budgets.rows import ROWS, Row
from bench.budgets.setting import FULL, QUICK, CannotMeasure, Setting
from bench.figures import Sample
from bench.goals import GOALS
from bench.growth import _size_verdict
from bench.isolation import table
from bench.isolation.figures import Pair
from bench.isolation.figures import Run as LoadRun
from bench.load import Load
from bench.outcome import Outcome, judged, plain, row
from bench.peers import PeerFailed, Workshop
from bench.rounds import Method, Variant, quiet
from bench.works import GET_1K, KIB, MIB, fill
from tests.project._tree import ROOT
from tests.support.fuse.control import CannotMount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MET = Outcome("a", "<= 1", "1", True, {})
MISSED = Outcome("b", "<= 1", "2", False, {})

linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no Linux /proc")


def _are_tools_missing() -> bool:
    try:
        tools.find_tools(install=False)
    except tools.ToolMissing:
        return True
    return False


with_tools = pytest.mark.skipif(_are_tools_missing(), reason="nginx or wrk is not installed")


@pytest.fixture
def _children_find_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no part of the wheel: a process imports it from the checkout, where it starts."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """For rows that need no other server and no wrk."""
    content = tmp_path / "content"
    file = content / GET_1K.path(0)[1:]
    file.parent.mkdir(parents=True)
    fill(file, KIB)
    place = tmp_path / "rows"
    place.mkdir()
    shop = Workshop(place, content, "no nginx", "", sys.executable)
    return Setting(place, shop, Method(Load("no wrk", 1), 2, 1, quiet), QUICK, None)


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """The docroots hold some 300 MiB: in memory, if there is a file system for that."""
    shm = Path("/dev/shm")
    with TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else tmp_path) as name:
        yield Path(name)


def test_every_goal_has_a_row_and_every_row_a_goal() -> None:
    assert set(ROWS) == set(GOALS)


def test_list_names_all_rows_and_their_goals(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["--list"])
    assert left.value.code == 0
    listed = capsys.readouterr().out.splitlines()
    for name, line in zip(ROWS, listed, strict=True):
        assert line.startswith(f"{name} ")
        assert line.endswith(str(GOALS[name]))


def test_all_rows_at_full_size_unless_told_otherwise() -> None:
    given = parse([])
    assert (given.rows, given.rounds, given.seconds, given.scale) == (list(ROWS), 5, 2, FULL)
    assert not given.strict
    quick = parse(["--quick", "--rounds", "3", "--rows", "idle,hung,idle"])
    assert (quick.rows, quick.rounds, quick.seconds) == (["idle", "hung"], 3, 1)
    assert quick.scale is QUICK


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rows", "get-2k"],
        ["--rows", ""],
        ["--rounds", "0"],
        ["--seconds=1.5"],
        ["--cmogstored", "/no/such/program"],
        ["--cmogstored", "/"],
        ["--python", "/no/such/python"],
        ["--json", "/no/such/directory/file"],
        ["--json", "/"],
        ["--docroot-parent", "/no/such/directory"],
        ["--docroot-parent", __file__],
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(wrong)
    assert left.value.code == 2
    assert wrong[0].partition("=")[0] in capsys.readouterr().err.splitlines()[-1]


def test_program_is_found_by_name_and_stays_where_it_is_from_elsewhere() -> None:
    assert parse(["--cmogstored", "sh"]).cmogstored in {"/bin/sh", "/usr/bin/sh"}
    relative = os.path.relpath("/bin/sh")
    assert parse(["--cmogstored", relative]).cmogstored == "/bin/sh"


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.304, "met"), (1.306, "MISSED"), (float("inf"), "MISSED")]
)
def test_row_is_judged_by_the_median_of_the_rounds(value: float, verdict: str) -> None:
    found = judged("what", GOALS["get-1k"], [0.1, value, 99.0], {})
    assert found.verdict == verdict
    assert found.figure == f"{value:.2f} (0.10-99.00)" or value > 99


def test_best_of_others_is_taken_round_by_round() -> None:
    slow, fast = Sample(10, 1.0, 0.0, 0.1), Sample(20, 1.0, 0.0, 0.1)
    assert requests.best_of([[slow, fast], [fast, slow]]) == [fast, fast]
    assert requests.best_of([[slow, fast]]) == [slow, fast]


def test_variants_take_turns_and_are_warmed_up_once() -> None:
    seen: list[str] = []

    def running(name: str) -> Variant[int]:
        def run(seconds: int) -> int:
            seen.append(name)
            return seconds

        return Variant(name, run)

    method = Method(Load("no wrk", 1), 2, 7, quiet)
    found = method.take_turns("both", [running("a"), running("b")])
    assert "".join(seen) == "ababba"
    assert found == {"a": [7, 7], "b": [7, 7]}


@pytest.mark.parametrize(
    ("during_ms", "verdict"), [(12.0, "met"), (12.1, "MISSED"), (None, "MISSED")]
)
def test_neighbours_of_a_hung_device_are_judged_by_their_p99(
    during_ms: float | None, verdict: str
) -> None:
    without = LoadRun(1000, 1.0, 1.0, 10.0, 20.0)
    during = LoadRun(1000 if during_ms else 0, 1.0, during_ms, during_ms, during_ms)
    line, _ = table.outcomes({"mogstored, 1 process": [Pair(without, during)]})
    assert (line.verdict, line.goal) == (verdict, "p99 ratio <= 1.2")


@pytest.mark.parametrize(
    ("size", "cpu_ratio", "rate_ratio", "end"),
    [
        (KIB, 1.3, 0.1, "CPU ratio <= 1.3: met"),
        (64 * KIB, 1.3, 2.0, "CPU ratio <= 1.2: MISSED"),
        (MIB, 9.0, 1.0, "rate ratio >= 1: met"),
        (16 * MIB, 9.0, 0.1, ""),
    ],
)
def test_size_of_a_file_is_judged_where_it_has_a_goal(
    size: int, cpu_ratio: float, rate_ratio: float, end: str
) -> None:
    assert _size_verdict(size, cpu_ratio, rate_ratio).strip() == end


def test_usage_round_that_did_not_come_is_no_measurement() -> None:
    assert devices._round_s([1, 1], [2_000_000_000, 2_500_000_000]) == 0.5
    with pytest.raises(PeerFailed, match="no usage round"):
        devices._round_s([1, 5], [2, 5])


def test_row_without_a_figure_is_shown_with_its_goal_and_the_reason() -> None:
    line = row(unmeasured("hung", "cannot mount:\n  no /dev/fuse"))
    assert "p99 ratio <= 1.2" in line
    assert line.endswith("not measured: cannot mount: no /dev/fuse")
    assert plain(unmeasured("hung", "why"))["why_not"] == "why"


def test_cmogstored_that_is_not_given_is_not_measured(setting: Setting) -> None:
    with pytest.raises(CannotMeasure, match="--cmogstored"):
        ROWS["get-1k-cmogstored"].measure(setting)


def _play(
    monkeypatch: pytest.MonkeyPatch, setting: Setting, *arguments: str, **rows: object
) -> Run:
    """Run rows that give these outcomes, or raise that."""
    for name, result in rows.items():

        def measure(_: Setting, result: object = result) -> Iterable[Outcome]:
            if isinstance(result, Exception):
                raise result
            assert isinstance(result, Outcome)
            return [result]

        monkeypatch.setitem(ROWS, name, Row(f"row {name}", measure))
    run = Run(parse(["--rows", ",".join(rows), *arguments]))
    run.measure_all(setting)
    return run


def test_missed_goal_is_no_failure_unless_it_is_to_be(
    monkeypatch: pytest.MonkeyPatch, setting: Setting
) -> None:
    assert _play(monkeypatch, setting, idle=MET, hung=MISSED).status() == 0
    assert _play(monkeypatch, setting, "--strict", idle=MET, hung=MISSED).status() == 1
    assert _play(monkeypatch, setting, "--strict", idle=MET).status() == 0


def test_row_that_fails_is_shown_and_keeps_none_from_being_measured(
    monkeypatch: pytest.MonkeyPatch, setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: dict[str, object] = {"idle": PeerFailed("it fell over"), "hung": MET}
    run = _play(monkeypatch, setting, **rows)
    assert run.status() == 1
    shown = capsys.readouterr()
    assert "not measured: FAILED" in shown.out.splitlines()[0]
    assert "idle FAILED: it fell over" in shown.err
    assert run.outcomes[1] == MET
    assert [each["row"] for each in run.results] == ["idle", "hung"]


@pytest.mark.parametrize("reason", [CannotMount("no /dev/fuse"), CannotMeasure("none given")])
def test_what_this_machine_lacks_is_no_failure(
    reason: Exception, monkeypatch: pytest.MonkeyPatch, setting: Setting
) -> None:
    run = _play(monkeypatch, setting, "--strict", hung=reason)
    assert run.status() == 0
    assert summary(run.outcomes) == "0 met, 0 missed, 1 not measured"


@linux
@pytest.mark.usefixtures("_children_find_the_bench")
def test_every_connection_is_found_with_the_worker_that_took_it(setting: Setting) -> None:
    # One that is not found fails the measurement.
    shares = workers.share(setting.workshop, 40, processes=2)
    assert (shares.total, len(shares.counts)) == (40, 2)


@linux
@pytest.mark.usefixtures("_children_find_the_bench")
def test_put_with_md5_is_set_beside_hashlib_and_leaves_no_file(setting: Setting) -> None:
    line, without, added = uploads.put_md5(setting)
    assert line.verdict in {"met", "MISSED"}
    rounds = line.samples
    assert {name: len(runs) for name, runs in rounds.items()} == {  # type: ignore[arg-type]
        "with Content-MD5": 2,
        "without": 2,
        "hashlib": 2,
    }
    assert without.what.startswith("  ")
    assert added.what.startswith("  ")
    assert not list(setting.place.rglob("stored.fid"))


@linux
@with_tools
@pytest.mark.usefixtures("_children_find_the_bench")
def test_one_command_prints_and_writes_what_it_found(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    argv = [sys.executable, "-m", "bench.budgets", "--quick", "--json", str(file)]
    done = subprocess.run(
        [*argv, "--rows", "get-1k-cmogstored,balance"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(file.read_text())["results"]
    assert {each["row"] for each in results} == {"get-1k-cmogstored", "balance"}
    assert all(each["what"] in done.stdout for each in results)
    assert "not measured: no --cmogstored given" in done.stdout
    assert done.stdout.endswith(" 1 not measured\n")
    assert "row 2 of 2: balance" in done.stderr


@linux
@with_tools
@pytest.mark.usefixtures("_children_find_the_bench")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_no_process_and_no_file_is_left_when_it_is_stopped(
    number: signal.Signals, status: int, memory_disk: Path
) -> None:
    argv = [sys.executable, "-m", "bench.budgets", "--quick", "--rows", "get-1k"]
    argv += ["--docroot-parent", str(memory_disk)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bench:
        try:
            children = _servers(psutil.Process(bench.pid))
            os.kill(bench.pid, number)
            bench.communicate(timeout=40)
        finally:
            bench.kill()
    assert bench.returncode == status
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert list(memory_disk.iterdir()) == []


def _servers(bench: psutil.Process) -> list[psutil.Process]:
    """Both servers of the row, and what is asked of them already."""
    deadline = time.monotonic() + 30
    while len(children := bench.children(recursive=True)) < 3:
        assert time.monotonic() < deadline, "the benchmark starts no servers"
        time.sleep(0.01)
    return children
