"""`python -m mogpoll` runs every experiment in bounded time, and reports broken answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from mogpoll.probe.experiment import catalogue
from mogpoll.probe.waiters import name_of_order, name_of_spread
from tests.mogpoll import backends
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mogpoll.backends import Backend

# A run takes seconds, and much longer beside other load.
_LIMIT_S = 150

NAMES = [experiment.name for experiment in catalogue()]

# Known answers of the two kinds of queue; libkqueue is of the second.
KNOWN_OF = {
    "epoll": {
        "both-directions-kernel": 1,
        "other-direction-later-kernel": False,
        "rearm-replaces": False,
        "add-twice-kernel": "EEXIST",
        "rearm-unknown-kernel": "ENOENT",
        "regular-file-kernel": "EPERM",
        "dup-keeps-telling": True,
        "hang-up-without-interest": True,
        "pipe-writer-gone-kernel": ["hang-up"],
        "queue-after-fork": "open",
        "wake-order": "last in, first out",
        "wake-herd": False,
    },
    "kqueue": {
        "both-directions-kernel": 2,
        "other-direction-later-kernel": True,
        "rearm-replaces": True,
        "add-twice-kernel": "accepted",
        "rearm-unknown-kernel": "accepted",
        "hang-up-without-interest": "not available",
        "pipe-writer-gone-kernel": ["readable", "end"],
    },
}
KNOWN_OF_ALL = {
    "never-drained-reaches-all": 8,
    "signal-ends-accept-in-python": "waits on",
    "ignored-signal-ends-accept": "waits on",
}


class Probe:
    """A run of the program in a child process."""

    def __init__(
        self, *arguments: str, code: str = "", environment: dict[str, str] | None = None
    ) -> None:
        program = f"import sys\nfrom mogpoll.probe import cli\n{code}\n"
        program += "sys.exit(cli.main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=_LIMIT_S * PATIENCE,
            check=False,
        )
        self.status, self.shown, self.complaint = done.returncode, done.stdout, done.stderr

    @property
    def results(self) -> dict[str, Any]:
        return {one["name"]: one for one in json.loads(self.shown)["experiments"]}


@pytest.fixture(scope="module", params=backends.parameters())
def whole(request: pytest.FixtureRequest) -> tuple[Backend, Probe]:
    """All experiments on each available backend."""
    backend: Backend = request.param
    return backend, Probe("--json", environment=backend.environment())


def made_up(body: str, relied_on: str = "()") -> str:
    """Return code that registers an experiment called `made-up`."""
    return f"""
import os, signal, time
from mogpoll.probe.experiment import Finding, Unavailable, experiment

@experiment("made-up", "a question", relied_on={relied_on})
def made_up():
    {body}
"""


def test_there_are_many_experiments() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_experiment_has_an_answer_that_keeps_the_promises(
    whole: tuple[Backend, Probe], name: str
) -> None:
    result = whole[1].results[name]
    assert result["outcome"] in ("answered", "unavailable")
    assert result["holds"] is not False


def test_all_promises_hold_here(whole: tuple[Backend, Probe]) -> None:
    assert (whole[1].complaint, whole[1].status) == ("", 0)


def test_answers_are_those_that_the_kind_of_queue_is_known_for(
    whole: tuple[Backend, Probe],
) -> None:
    backend, probe = whole
    known = {**KNOWN_OF[backend.name], **KNOWN_OF_ALL}
    assert {name: probe.results[name]["answer"] for name in known} == known


def test_n06_exclusive_and_one_shot_exclude_each_other(whole: tuple[Backend, Probe]) -> None:
    assert whole[1].results["one-shot-exclusive-kernel"]["answer"] in ("EINVAL", "not available")


@pytest.mark.skipif("sys.platform == 'darwin'", reason="macOS wakes them")
def test_n28_closing_the_queue_does_not_wake_its_waiters(whole: tuple[Backend, Probe]) -> None:
    found = whole[1].results["close-wakes-a-waiter"]["answer"]
    assert found in (False, "no, and close does not return")


def test_json_says_where_it_was_obtained(whole: tuple[Backend, Probe]) -> None:
    backend, probe = whole
    data = json.loads(probe.shown)
    kinds = {key: type(value) for key, value in data["place"].items()}
    assert data["place"]["backend"] == backend.name
    assert set(data) == {"format", "place", "experiments"}
    assert kinds.pop("library") in (str, type(None))
    assert kinds.pop("kernel_code") is type(None)
    assert kinds == {
        "system": str,
        "release": str,
        "machine": str,
        "python": str,
        "interpreter_lock": bool,
        "free_threaded_build": bool,
        "backend": str,
    }


def test_json_of_every_experiment_has_the_same_fields(whole: tuple[Backend, Probe]) -> None:
    fields = {"name", "question", "outcome", "answer", "detail", "relied_on", "holds"}
    assert all(set(result) == fields for result in whole[1].results.values())


def test_table_shows_name_answer_and_question(backend: Backend) -> None:
    probe = Probe("--only", "both-directions-mogpoll", environment=backend.environment())
    (row,) = [line for line in probe.shown.splitlines() if "both-directions-mogpoll" in line]
    assert row.split()[:3] == ["holds", "both-directions-mogpoll", "1"]
    assert row.endswith("events of one READ_WRITE arming with both ready")
    assert "1 of 1 relied-on answers hold" in probe.shown


def test_json_goes_into_a_file_beside_the_table(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    probe = Probe(
        "--json", str(file), "--only", "cork,idle-time", environment=backend.environment()
    )
    assert "relied on" in probe.shown
    names = [one["name"] for one in json.loads(file.read_text())["experiments"]]
    assert names == ["cork", "idle-time"]


def test_list_names_them_all_and_does_none() -> None:
    probe = Probe("--list")
    assert [line.split()[0] for line in probe.shown.splitlines()] == NAMES


def test_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mogpoll", "--list"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(NAMES[0])


LATE_ANSWER = """
from mogpoll.probe import isolation

class LateSelect:
    first = True

    def select(self, *arguments):
        # A time-out of 0 means that the child has ended already: too early to be late.
        if self.first and arguments[3]:
            self.first = False
            # Nothing yet; the child then answers and ends before it is looked at again.
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            return [], [], []
        return select.select(*arguments)

import select
isolation.select = LateSelect()
"""


def test_answer_given_between_two_looks_is_not_taken_for_a_crash() -> None:
    code = made_up("return 'an answer'") + LATE_ANSWER
    probe = Probe("--json", "--only", "made-up", code=code)
    result = probe.results["made-up"]
    assert (result["outcome"], result["answer"]) == ("answered", "an answer")


# Broken answers, and experiments that fail


def run_made_up(body: str, relied_on: str = "()", *arguments: str) -> Probe:
    code = made_up(body, relied_on)
    return Probe("--only", "made-up", "--json", *arguments, code=code)


def test_broken_promise_is_an_exit_status_of_one() -> None:
    probe = run_made_up("return 2", "(1,)")
    assert (probe.results["made-up"]["holds"], probe.status) == (False, 1)


def test_broken_promise_is_explained_in_the_table() -> None:
    code = made_up("return Finding(2, 'seen: 1 1')", "(1, 3)")
    probe = Probe("--only", "made-up", code=code)
    assert "BROKEN made-up: 2 (seen: 1 1), should be 1 or 3" in probe.shown
    assert probe.status == 1


def test_answer_not_relied_on_breaks_nothing() -> None:
    probe = run_made_up("return 2")
    assert (probe.results["made-up"]["holds"], probe.status) == (None, 0)


def test_what_the_system_does_not_have_breaks_nothing() -> None:
    probe = run_made_up("raise Unavailable('no such call')", "(1,)")
    result = probe.results["made-up"]
    assert (result["outcome"], result["detail"]) == ("unavailable", "no such call")
    assert (result["holds"], probe.status) == (None, 0)


@pytest.mark.parametrize("relied_on", ["()", "(1,)"])
def test_experiment_that_hangs_is_given_up(relied_on: str) -> None:
    probe = run_made_up("time.sleep(1000)", relied_on, "--limit", "0.3")
    assert probe.results["made-up"]["answer"] == "timed out"
    assert probe.status == (relied_on == "(1,)")


def test_experiment_that_cannot_be_interrupted_is_given_up() -> None:
    body = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); time.sleep(1000)"
    probe = run_made_up(body, "()", "--limit", "0.3")
    assert probe.results["made-up"]["answer"] == "timed out"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "by SIGSEGV"),
        ("os._exit(3)", "the process ended"),
    ],
)
def test_crash_of_one_experiment_loses_no_other(body: str, detail: str) -> None:
    probe = Probe("--only", "cork,made-up,idle-time", "--json", code=made_up(body, "(1,)"))
    found = probe.results
    assert list(found) == ["cork", "made-up", "idle-time"]
    assert (found["made-up"]["answer"], found["made-up"]["detail"]) == ("crashed", detail)
    assert (found["idle-time"]["outcome"], probe.status) == ("answered", 1)


def test_crash_is_noticed_while_a_process_of_the_experiment_lives() -> None:
    body = "os.fork() or time.sleep(1000); os.kill(os.getpid(), signal.SIGKILL)"
    probe = run_made_up(body)
    assert probe.results["made-up"]["answer"] == "crashed"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("raise OSError(2, 'gone')", "ENOENT"),
        ("raise ValueError('odd')", "ValueError"),
    ],
)
def test_failure_is_an_answer_by_name(body: str, answer: str) -> None:
    probe = run_made_up(body, "(1,)")
    result = probe.results["made-up"]
    assert (result["outcome"], result["answer"], probe.status) == ("failed", answer, 1)


def test_nothing_of_an_experiment_is_left_running() -> None:
    probe = run_made_up("return os.fork() or time.sleep(1000)")
    left = probe.results["made-up"]["answer"]
    wait_until(lambda: not is_running(left), "the experiment's own child is gone")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_an_experiment_prints_is_not_part_of_the_report() -> None:
    probe = run_made_up("os.write(1, b'noise'); os.write(2, b'noise'); return 1")
    assert (probe.results["made-up"]["answer"], probe.complaint) == (1, "")


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "nonsense"], "no experiment 'nonsense'; --list shows them"),
        (["--only", ""], "no experiment ''"),
        (["--limit", "0"], "--limit 0: must be more than 0 seconds"),
        (["--limit", "soon"], "--limit: invalid float value: 'soon'"),
        (["--what"], "unrecognized arguments: --what"),
        (["--only", "cork", "--json", "/nowhere/x"], "--json /nowhere/x: No such file"),
    ],
)
def test_misuse_is_an_exit_status_of_two(arguments: list[str], complaint: str) -> None:
    probe = Probe(*arguments)
    assert complaint in probe.complaint
    assert probe.status == 2


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"MOGPOLL_BACKEND": "select"}, "MOGPOLL_BACKEND='select' is neither 'epoll' nor"),
        (
            {"MOGPOLL_BACKEND": "kqueue", "MOGPOLL_LIBKQUEUE": "/nowhere/libkqueue.so"},
            "cannot load libkqueue from /nowhere/libkqueue.so",
        ),
    ],
)
@pytest.mark.skipif("sys.platform != 'linux'", reason="the system has a kqueue of its own")
def test_backend_that_cannot_be_had_is_misuse(environment: dict[str, str], complaint: str) -> None:
    probe = Probe("--only", "cork", environment={**os.environ, **environment})
    assert complaint in probe.complaint
    assert (probe.shown, probe.status) == ("", 2)


# Names of orders and distributions


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([3, 3, 3, 3], "last in, first out"),
        ([0, 1, 2, 3, 0, 1], "first in, first out"),
        ([0, 1, 2, 3, 1, 0], "in no order"),
    ],
)
def test_order_in_words(order: list[int], words: str) -> None:
    assert name_of_order(order, 4) == words


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([10, 10, 10, 10], "even"),
        ([100, 105, 95, 100], "even"),
        ([9, 11, 10, 10], "uneven"),
        ([0, 40, 0, 0], "one gets all"),
        ([0, 0, 0, 0], "nobody gets any"),
    ],
)
def test_spread_in_words(counts: list[int], words: str) -> None:
    assert name_of_spread(counts) == words
