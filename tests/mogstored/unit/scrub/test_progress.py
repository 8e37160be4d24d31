"""What is kept of a scrub, and when the next one begins."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mogstored.scrub.progress import Progress
from mogstored.scrub.verdict import Finding, Kind, Tally, Verdict

DAY = 24 * 3600.0
NOW = 1.8e9
PERIOD = 30 * DAY
# As many as are kept.
MOST = 100


def finding(name: str, found: str = "x") -> Finding:
    return Finding(name, "mismatch", "y", found)


def test_all_of_it_survives_as_json() -> None:
    progress = Progress()
    progress.begin(NOW)
    progress.note(finding("a"), NOW + 1)
    tally = Tally(files=3, read_bytes=5)
    tally.note(Verdict(Kind.MISMATCH))
    progress = progress.copy_with(b"0/\xff\n/a", tally)
    assert Progress.from_json(json.loads(json.dumps(progress.as_json()))) == progress


@pytest.mark.parametrize(
    "changes",
    [
        {"position": None},
        {"began_at": "soon"},
        {"ended_at": []},
        {"tally": 5},
        {"tally": {"files": "x", "verdicts": {"mismatch": -1}}},
        {"findings": [1]},
        {"findings": [["a", "b"]]},
        {"findings": None},
    ],
    ids=str,
)
def test_damaged_state_begins_a_new_round_at_worst(changes: dict[str, Any]) -> None:
    state = Progress().as_json() | changes
    read = Progress.from_json(state)
    read.begin(NOW)
    assert (read.is_under_way, read.tally.findings, read.findings) == (True, 0, ())
    assert Progress.from_json({}) == Progress()


def test_counts_that_make_no_sense_are_none() -> None:
    data = {"files": -1, "read_bytes": 1.5, "verdicts": {"sound": 1, "mismatch": -1}}
    tally = Tally.from_json(data)
    assert (tally.files, tally.read_bytes, tally.findings) == (0, 0, 0)
    assert tally.verdicts == {kind.value: int(kind is Kind.SOUND) for kind in Kind}
    assert Tally.from_json({"files": 1, "verdicts": []}) == Tally(files=1)


def test_rounds_begin_once_in_the_period() -> None:
    progress = Progress()
    assert progress.due_in_s(NOW, PERIOD) == 0
    progress.begin(NOW)
    assert progress.due_in_s(NOW + 1, PERIOD) == 0
    progress.end(NOW)
    assert progress.due_in_s(NOW, PERIOD) == PERIOD
    progress.end(NOW + 3 * DAY)
    assert progress.due_in_s(NOW + 3 * DAY, PERIOD) == 27 * DAY
    assert progress.due_in_s(NOW + PERIOD, PERIOD) == 0


def test_round_longer_than_the_period_is_followed_at_once() -> None:
    progress = Progress()
    progress.begin(NOW)
    progress.end(NOW + 2 * PERIOD)
    assert progress.due_in_s(NOW + 2 * PERIOD, PERIOD) == 0


def test_interrupted_round_goes_on_where_it_was() -> None:
    progress = Progress()
    progress.begin(NOW)
    progress = progress.copy_with(b"a/b", Tally(files=2))
    progress.begin(NOW + 10 * DAY)
    assert (progress.position, progress.began_at, progress.tally.files) == (b"a/b", NOW, 2)


def test_new_round_begins_at_the_first_file() -> None:
    progress = Progress()
    progress.begin(NOW)
    progress = progress.copy_with(b"a/b", Tally(files=2))
    progress.end(NOW + 1)
    progress.begin(NOW + PERIOD)
    assert (progress.position, progress.began_at, progress.tally.files) == (b"", NOW + PERIOD, 0)


@pytest.mark.parametrize("has_ended", [False, True])
def test_clock_that_is_set_back_stops_nothing(*, has_ended: bool) -> None:
    progress = Progress()
    progress.begin(NOW)
    if has_ended:
        progress.end(NOW + 5)
    before = NOW - 1000 * DAY
    assert progress.due_in_s(before, PERIOD) == 0
    progress.begin(before)
    assert progress.is_under_way
    progress.end(before + 1)
    assert not progress.is_under_way


def test_last_findings_are_kept_one_a_file() -> None:
    progress = Progress()
    progress.begin(NOW)
    for number in range(MOST + 5):
        progress.note(finding(f"{number}"), NOW + number)
    progress.note(finding("50", "again"), NOW + 1000)
    paths = [each.path for _, each in progress.findings]
    assert len(set(paths)) == len(paths) == MOST
    assert progress.findings[-1] == (NOW + 1000, finding("50", "again"))
    more = [[NOW, *(f"{number}", "mismatch", "y", "x")] for number in range(MOST + 1)]
    read = Progress.from_json(progress.as_json() | {"findings": more})
    assert [each.path for _, each in read.findings] == [f"{number + 1}" for number in range(MOST)]


def test_what_a_later_round_does_not_find_is_forgotten_at_its_end() -> None:
    progress = Progress()
    progress.begin(NOW)
    for name in ("a", "b"):
        progress.note(finding(name), NOW)
    progress.end(NOW + 1)
    assert len(progress.findings) == 2
    progress.begin(NOW + PERIOD)
    progress.note(finding("b"), NOW + PERIOD + 1)
    assert [each.path for _, each in progress.findings] == ["a", "b"]
    progress.end(NOW + PERIOD + 2)
    assert [each.path for _, each in progress.findings] == ["b"]
