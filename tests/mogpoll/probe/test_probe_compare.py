"""`python -m mogpoll compare` and `table`: results of several systems."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll.probe import cli
from mogpoll.probe.isolation import Result
from mogpoll.probe.report import Report, read, this_place
from mogpoll.probe.table import text_of

if TYPE_CHECKING:
    from pathlib import Path

    from mogpoll.probe.experiment import Answer

PLACE = dataclasses.replace(this_place(), system="Linux", backend="epoll", library=None)
OTHER_PLACE = dataclasses.replace(PLACE, system="FreeBSD", backend="kqueue")


def result(
    name: str, answer: Answer, detail: str = "", relied_on: tuple[Answer, ...] = ()
) -> Result:
    return Result(name, f"what is {name}", "answered", answer, detail, relied_on)


ONE = Report(PLACE, [result("a", 1, "2 of 3"), result("b", [True, "x"]), result("c", "yes")])


def written(report: Report, path: Path) -> str:
    path.write_text(report.as_json())
    return str(path)


@pytest.fixture
def one(tmp_path: Path) -> str:
    return written(ONE, tmp_path / "one.json")


def test_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = Report(PLACE, [*ONE.results, result("d", 2, relied_on=(1, [2, "x"]))])
    path = tmp_path / "r.json"
    path.write_text(report.as_json())
    assert read(path) == report


def test_same_answers(one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another system and other figures, but the same answers."""
    same = [dataclasses.replace(r, detail="other figures") for r in ONE.results]
    other = written(Report(OTHER_PLACE, same), tmp_path / "other.json")
    assert cli.main(["compare", one, other]) == 0
    assert capsys.readouterr().out.endswith("no answer differs\n")


def test_different_answers_and_rows_of_one_only(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = [result("a", 2), result("b", [True, "x"]), result("d", None)]
    other = written(Report(OTHER_PLACE, changed), tmp_path / "other.json")
    assert cli.main(["compare", one, other]) == 1
    first, second, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("1: Linux")
    assert second.startswith("2: FreeBSD")
    assert [re.split(r"\s{2,}", row) for row in rows if row][1:] == [
        ["a", "1", "2"],
        ["c", "yes", "(not asked)"],
        ["d", "(not asked)", "None"],
    ]


def test_same_words_from_another_outcome_are_no_difference_but_other_words_are(
    one: str, tmp_path: Path
) -> None:
    gone = [dataclasses.replace(r, outcome="timed out", answer="timed out") for r in ONE.results]
    other = written(Report(PLACE, gone), tmp_path / "other.json")
    assert cli.main(["compare", one, other]) == 1


def altered(**changes: Any) -> str:
    return json.dumps({**json.loads(ONE.as_json()), **changes})


A = json.loads(ONE.as_json())["experiments"][0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\N{NO-BREAK SPACE}", "not JSON"),
        ("[]", "not written by python -m mogpoll"),
        ("{}", "not written by python -m mogpoll"),
        (altered(format="mogpoll-probe/0"), "not written by python -m mogpoll"),
        (altered(place={}), "incomplete or altered"),
        (altered(place=3), "incomplete or altered"),
        (altered(experiments=None), "incomplete or altered"),
        (altered(experiments=[{}]), "incomplete or altered"),
        (altered(experiments=[{**A, "more": 1}]), "incomplete or altered"),
        (altered(experiments=[{**A, "outcome": "guessed"}]), "unknown outcome 'guessed'"),
        (altered(experiments=[{**A, "relied_on": [2]}]), "a: holds is "),
        (altered(experiments=[A, A]), "contains an experiment twice"),
        (altered(not_shown=["a"]), "incomplete or altered"),
    ],
)
@pytest.mark.parametrize("command", ["compare", "table"])
def test_garbage_is_named_and_an_exit_status_of_two(
    one: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str,
    complaint: str,
    command: str,
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(content, encoding="latin-1")
    assert cli.main([command, one, str(bad)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"mogpoll: {bad}: ")
    assert complaint in shown.err


def test_file_that_is_not_there(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", one, str(tmp_path / "none")]) == 2
    assert "none: No such file or directory" in capsys.readouterr().err


def test_many_files_are_compared_and_a_row_is_shown_if_any_differs(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = [result("a", 1), result("b", [True, "x"]), result("c", "no")]
    other = written(Report(OTHER_PLACE, changed), tmp_path / "other.json")
    assert cli.main(["compare", one, one, other]) == 1
    rows = capsys.readouterr().out.splitlines()
    assert [row[:2] for row in rows[:3]] == ["1:", "2:", "3:"]
    assert [re.split(r"\s{2,}", row) for row in rows[4:]] == [
        ["name", "1", "2", "3"],
        ["c", "yes", "yes", "no"],
    ]


@pytest.mark.parametrize("arguments", [[], ["one"]])
def test_compare_wants_two_files_or_more(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compare", *arguments])
    assert stopped.value.code == 2


def test_table_has_a_column_for_each_file_and_marks_what_is_relied_on(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [result("a", 2, relied_on=(1,)), result("e", "x|y")]
    other = written(Report(OTHER_PLACE, results), tmp_path / "other.json")
    assert cli.main(["table", one, other]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| question | Linux, epoll | FreeBSD, kqueue |",
        "|---|---|---|",
        "| what is a ✓ | 1 | **2** |",
        "| what is b | yes, x | (not asked) |",
        "| what is c | yes | (not asked) |",
        "| what is e | (not asked) | x\\|y |",
    ]


LIBRARY = dataclasses.replace(
    OTHER_PLACE, system="FreeBSD", release="9.1", kernel_code="a library"
)


@pytest.fixture
def library(tmp_path: Path) -> str:
    """Code of a kernel in a process: one answer of it, one that is not the kernel's."""
    report = Report(LIBRARY, [result("a", 2), result("b", "waits on", relied_on=("EINTR",))])
    data = {**json.loads(report.as_json()), "not_shown": {"no signals of its own": ["b"]}}
    path = tmp_path / "library.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_code_of_a_kernel_is_called_what_it_is(
    one: str, library: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["table", one, library]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| question | Linux, epoll | code of FreeBSD 9.1, kqueue |",
        "|---|---|---|",
        "| what is a | 1 | 2 |",
        "| what is b ✓ | yes, x | not shown |",
        "| what is c | yes | (not asked) |",
        "",
        "Not shown by code of FreeBSD 9.1:",
        "",
        "- no signals of its own: what is b",
    ]
    cli.main(["compare", one, library])
    assert "code of FreeBSD 9.1" in capsys.readouterr().out


def test_answer_that_is_not_the_kernels_breaks_no_promise(library: str, tmp_path: Path) -> None:
    report = read(tmp_path / "library.json")
    assert report.broken() == []
    assert report.results[1].detail == "no signals of its own"


@pytest.mark.parametrize(
    ("answer", "text"),
    [(True, "yes"), (False, "no"), ([], "none"), ("", '""'), ([1, "a"], "1, a"), (0, "0")],
)
def test_answer_in_words(answer: Answer, text: str) -> None:
    assert text_of(answer) == text
