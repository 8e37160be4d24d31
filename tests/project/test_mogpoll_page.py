"""docs/mogpoll.md says what the code, the tests and the probe say, and notes have tests."""

from __future__ import annotations

import re

import pytest

import mogpoll
from tests.project._tree import ROOT
from tests.project.mogpoll_page import NOTES, PAGE, answers, files_of, written_anew

TEXT = PAGE.read_text(encoding="utf-8")


def test_page_is_up_to_date() -> None:
    """If not: python -m tests.project.mogpoll_page"""
    assert written_anew(TEXT) == TEXT


def test_page_that_lacks_a_block_is_noticed() -> None:
    with pytest.raises(ValueError, match="no single block notes"):
        written_anew(TEXT.replace("<!-- notes -->", ""))


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


def test_both_kinds_of_queue_are_in_the_table() -> None:
    titles = answers().splitlines()[0]
    assert "epoll" in titles
    assert "kqueue" in titles


def test_sources_that_the_page_names_exist() -> None:
    linked = re.findall(r"\]\(\.\./([^)#]+)\)", TEXT)
    assert [path for path in linked if not (ROOT / path).exists()] == []
