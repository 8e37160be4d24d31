"""The command of the bench: its scenarios and options, failures and exit statuses, its exits."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from bench.__main__ import Run, main, summary, unmeasured
from bench.bad_disk.control import CannotMount
from bench.base.goals import GOALS
from bench.base.machine import Unmeasurable
from bench.base.outcome import Outcome, row
from bench.options import parse
from bench.scenarios import SCENARIOS, Part, Scenario
from bench.servers import tools
from bench.servers.peers import PeerFailed
from bench.servers.tools import ToolMissing, find, node_of
from tests.project._tree import ROOT
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.environment import Environment

MET, MISSED = Outcome("a", "1", "<= 1", True), Outcome("b", "2", "<= 1", False)

linux = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no Linux /proc")


def _are_tools_missing() -> bool:
    try:
        find(["nginx", "wrk"], install=False)
    except ToolMissing:
        return True
    return False


with_tools = pytest.mark.skipif(_are_tools_missing(), reason="nginx or wrk is not installed")


def test_every_budget_has_a_part_and_every_part_a_budget() -> None:
    assert set(SCENARIOS["budgets"].parts) == set(GOALS)


def test_list_has_a_line_for_each_scenario_and_each_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    names = [name for scenario in SCENARIOS for name in (scenario, *SCENARIOS[scenario].parts)]
    assert [line.split()[0] for line in listed] == names
    assert all(len(line.split()) > 1 for line in listed)


def test_defaults() -> None:
    given = parse([])
    assert (given.scenarios, given.parts, given.rounds) == (["requests"], None, None)
    assert parse(["life", "--parts", "worker,digest,worker"]).parts == ["worker", "digest"]
    assert parse(["--connections", "1,16"]).connections == (1, 16)
    assert parse(["--cmogstored", "sh"]).cmogstored in {"/bin/sh", "/usr/bin/sh"}
    assert parse(["--cmogstored", os.path.relpath("/bin/sh")]).cmogstored == "/bin/sh"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("bugdets", "unknown scenario `bugdets`: did you mean `budgets`?"),
        ("put-md5", "`put-md5` is a part: `budgets --parts put-md5`"),
        ("xyz", "unknown scenario `xyz`: there are requests, quick, budgets"),
        ("budgets --parts put-m5", "unknown part `put-m5`: did you mean `put-md5`?"),
        ("life --parts cycle", "unknown part `cycle`: "),
        ("--rounds 0", "--rounds: not a positive number: 0"),
        ("--seconds nan", "--seconds: not from 0.1 to 600 seconds: nan"),
        ("--connections 1,0", "--connections: not a positive number: 0"),
        ("--cmogstored /no/such/program", "--cmogstored: not a program: /no/such/program"),
        ("--python /", "--python: not a program: /"),
        ("--json /no/such/directory/file", "--json: not a file that can be written"),
        ("--json /", "--json: not a file that can be written: /"),
        ("--docroot-parent /no/such", "--docroot-parent: not a directory to write in: /no/such"),
        ("balance --plot a.gif", "--plot: not a file that can be written and ends in .svg or"),
        ("life --plot a.svg", "--plot draws one scenario: isolation or balance"),
        ("--against /", "--against: not a checkout (no mogstored/__main__.py)"),
        ("life --calibrate", "--calibrate is for the scenario `requests` or `fresh` alone"),
        ("fresh life --calibrate", "--calibrate is for the scenario `requests` or `fresh` alone"),
        ("--record", "--record is for the scenario `quick` alone"),
    ],
)
def test_wrong_arguments_are_named_and_start_nothing(
    wrong: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(wrong.split())
    assert left.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_missing_program_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tools, "_which", lambda _: None)
    monkeypatch.setattr("bench.base.cleanup.exit_on_signals", lambda: None)
    assert main(["quick"]) == 1
    error = capsys.readouterr().err
    assert "nginx, wrk not found: run `" in error
    assert "apt-get install --yes --no-install-recommends nginx-light wrk`" in error


def test_node_of_another_checkout_is_really_its_own(tmp_path: Path) -> None:
    package = tmp_path / "mogstored"
    package.mkdir()
    (package / "__init__.py").touch()
    node = node_of(tmp_path)
    assert node.about()[0] == package
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\ncd {ROOT} && PYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(ToolMissing, match="is another one"):
        node_of(tmp_path)


def test_row_without_a_figure_gives_the_reason_on_its_line() -> None:
    found = unmeasured(SCENARIOS["budgets"], "hung", "cannot mount:\n  no /dev/fuse")
    assert row(found).endswith("not measured: cannot mount: no /dev/fuse")


def _measure(environment: Environment, *arguments: str, **results: Outcome | Exception) -> Run:
    """Run parts with these outcomes or exceptions."""

    def part(result: Outcome | Exception) -> Part:
        def measure(_: Environment) -> Iterable[Outcome]:
            if isinstance(result, Exception):
                raise result
            return [result]

        return Part("title", measure)

    run = Run(parse(["budgets", *arguments]))
    scenario = Scenario("about", {name: part(result) for name, result in results.items()})
    run.measure("budgets", scenario, environment)
    return run


def test_missed_goal_is_no_failure_unless_strict(environment: Environment) -> None:
    assert _measure(environment, idle=MET, hung=MISSED).status() == 0
    assert _measure(environment, "--strict", idle=MET, hung=MISSED).status() == 1
    assert _measure(environment, "--strict", idle=MET).status() == 0


def test_part_that_fails_is_shown_and_the_others_are_measured(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _measure(environment, idle=PeerFailed("it fell over"), hung=MET)
    assert run.status() == 1
    shown = capsys.readouterr()
    assert "not measured: FAILED" in shown.out
    assert "budgets, idle FAILED: it fell over" in shown.err
    assert run.outcomes[1] == MET


@pytest.mark.parametrize("reason", [CannotMount("no /dev/fuse"), Unmeasurable("none given")])
def test_what_this_machine_lacks_is_no_failure(
    reason: Exception, environment: Environment
) -> None:
    run = _measure(environment, "--strict", hung=reason)
    assert run.status() == 0
    assert summary(run.outcomes) == "0 met, 0 missed, 1 not measured"


@linux
@with_tools
def test_one_command_prints_and_writes_what_it_found(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    parts = "get-1k-cmogstored,put-1k,balance,start"
    shown = _bench("budgets", "life", "--quick", "--json", str(file), "--parts", parts)
    results = json.loads(file.read_text())["results"]
    found = {(each["scenario"], each["part"]) for each in results}
    assert {part for _, part in found} == set(parts.split(","))
    assert ("life", "start") in found
    assert all(each["what"] in shown for each in results)
    assert "not measured: no --cmogstored given" in shown
    assert shown.endswith(" 1 not measured\n")


@linux
@with_tools
def test_node_of_another_checkout_takes_turns_with_this_one(tmp_path: Path) -> None:
    for package in ("mogpoll", "mogstored"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shown = _bench("--against", str(tmp_path), "--quick", "--parts", "get-1k,put-1k")
    for title in ("GET 1 KiB", "PUT 1 KiB"):
        assert re.search(rf"^{title}, 16 connections, to before +CPU ratio <= 1.03 ", shown, re.M)


def _bench(*arguments: str) -> str:
    """Return the output of a bench that succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux
@with_tools
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_no_process_and_no_file_is_left_when_it_isstopped(
    number: signal.Signals, status: int, memory_disk: Path
) -> None:
    argv = ["budgets", "--quick", "--parts", "put-1k", "--docroot-parent", str(memory_disk)]
    assert stopped(argv, 3, number) == status
    assert list(memory_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_children_end_with_the_bench_however_it_ends(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    assert stopped(["balance", "--docroot-parent", str(tmp_path)], 4, number) == status


def stopped(arguments: list[str], children: int, number: signal.Signals) -> int:
    """End a bench once it has so many descendants; return its status when they have ended, too."""
    argv = [sys.executable, "-m", "bench", *arguments]
    pipe, env = subprocess.PIPE, {**os.environ, "PYTHONSAFEPATH": ""}
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdout=pipe, stderr=pipe) as bench:
        try:
            deadline = time.monotonic() + 40
            while len(found := psutil.Process(bench.pid).children(recursive=True)) < children:
                assert time.monotonic() < deadline, "the bench starts no processes"
                time.sleep(0.01)
            os.kill(bench.pid, number)
            bench.communicate(timeout=40)
        finally:
            bench.kill()
    _, alive = psutil.wait_procs(found, timeout=PATIENCE_S)
    assert alive == []
    return bench.returncode
