"""docs/mogpoll agrees with the code, the tests and the probe; notes have tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import mogpoll
from tests.project._tree import ROOT
from tests.project.mogpoll_book import NOTES, answers, files_of, kept_results, read, written_anew

BOOK = read()
TEXT = "".join(BOOK.values())


def test_book_is_up_to_date() -> None:
    """If not: python -m tests.project.mogpoll_book"""
    assert written_anew(BOOK) == BOOK


def test_book_that_lacks_a_block_is_noticed() -> None:
    with pytest.raises(ValueError, match="no single block notes"):
        written_anew({page: text.replace("<!-- notes -->", "") for page, text in BOOK.items()})


def test_every_public_name_is_explained() -> None:
    words = set(re.findall(r"\w+", TEXT))
    assert set(mogpoll.__all__) - words == set()


@pytest.mark.parametrize("number", [n for n, (_, reason) in NOTES.items() if not reason])
def test_note_has_a_test_of_its_name(number: int) -> None:
    assert files_of(number)


@pytest.mark.parametrize("number", [n for n, (_, reason) in NOTES.items() if reason])
def test_note_that_cannot_be_shown_claims_no_test(number: int) -> None:
    assert not files_of(number)


def test_kept_results_keep_every_promise() -> None:
    assert "**" not in answers()


def test_queues_of_four_kinds_are_in_the_table() -> None:
    titles = answers().splitlines()[0].split(" | ")
    assert titles[1] == "Linux, epoll"
    assert titles[2].startswith("Linux, kqueue over libkqueue")
    assert titles[3:] == ["code of FreeBSD 9.1, kqueue", "code of NetBSD 7.99.34, kqueue |"]


@pytest.mark.parametrize("path", kept_results(), ids=lambda path: path.stem)
def test_only_code_that_a_library_runs_leaves_answers_out(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    is_library = path.stem.endswith("-userspace")
    assert bool(data["place"].get("kernel_code")) == bool(data.get("not_shown")) == is_library


def test_each_example_is_shown_or_linked() -> None:
    examples = [path.name for path in (ROOT / "examples").glob("*.py")]
    assert examples
    assert [name for name in examples if f"examples/{name}" not in TEXT] == []
