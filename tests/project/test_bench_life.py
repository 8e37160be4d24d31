"""How the life of a node is asked for and shown: options, rows, medians."""

from __future__ import annotations

import pytest

from bench.life.options import PARTS, parse
from bench.life.waiting import wait_for
from bench.outcome import Outcome, heading, row, spread
from bench.peers import PeerFailed


def test_all_parts_and_a_gigabyte_unless_told_otherwise() -> None:
    assert (parse([]).parts, parse([]).size_mib) == (list(PARTS), 1024)


def test_parts_keep_their_order_and_come_once() -> None:
    assert parse(["--parts", "worker,digest,worker"]).parts == ["worker", "digest"]


@pytest.mark.parametrize("wrong", [["--parts", "watch,sleep"], ["--size", "0"], ["--size=1G"]])
def test_options_that_make_no_sense_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(("is_met", "end"), [(True, "met"), (False, "MISSED"), (None, "1.00 s")])
def test_row_ends_in_the_verdict_if_there_is_a_goal(is_met: bool | None, end: str) -> None:
    assert row(Outcome("what", "goal", "1.00 s", is_met, {})).endswith(f" {end}")


def test_rows_stand_below_their_heading() -> None:
    text = row(Outcome("a", "b", "c", True, {}))
    columns = [heading().index(title) for title in ("what", "goal", "figure", "verdict")]
    assert [text[column] for column in columns] == ["a", "b", "c", "m"]


def test_spread_is_median_and_extremes() -> None:
    assert spread([3.0, 1.0, 2.0], " s") == "2.00 (1.00-3.00) s"


def test_waiting_ends_with_what_was_found_or_says_what_was_not() -> None:
    found = iter([None, "", "this"])
    assert wait_for(lambda: next(found), "a word") == "this"
    with pytest.raises(PeerFailed, match="a second word"):
        wait_for(lambda: False, "a second word", limit_s=0.0)
