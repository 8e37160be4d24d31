"""How many worker processes, in words."""

from __future__ import annotations

import re

import pytest

from mogpoll.system.limits import cores
from mogstored.config.values.processes import ProcessCount, parse_worker_processes


def test_number_up_to_32_bits() -> None:
    assert parse_worker_processes("0") == ProcessCount(0)
    assert parse_worker_processes("4294967295") == ProcessCount(4294967295)
    with pytest.raises(ValueError, match="4294967295"):
        parse_worker_processes("4294967296")


def test_auto_is_as_many_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable_cores", lambda: 6)
    assert parse_worker_processes("auto") == ProcessCount(6, is_auto=True)
    assert parse_worker_processes("auto") != ProcessCount(6)


def test_words_of_a_config_file() -> None:
    assert [str(ProcessCount(6)), str(ProcessCount(6, is_auto=True))] == ["6", "auto"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("two", "not a whole number of at least 0, because of 't'"),
        ("-1", "not a whole number of at least 0, because of '-'"),
        ("Auto", "not a whole number of at least 0, because of 'A' (did you mean 'auto'?)"),
        ("", "a whole number of at least 0 is missing"),
    ],
)
def test_complaint_says_what_is_wanted(word: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        parse_worker_processes(word)
