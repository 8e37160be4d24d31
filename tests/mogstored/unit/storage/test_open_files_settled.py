"""Which files may stay open: those whose status will tell when they have changed."""

from __future__ import annotations

import os

import pytest

from mogstored.storage import open_files
from mogstored.storage.open_files import may_be_kept

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND + SECOND // 2


class Status:
    """As much of `os.stat_result` as is looked at."""

    def __init__(self, age_s: float, *, nlink: int = 1, precision: int = 1) -> None:
        self.st_nlink = nlink
        changed = NOW - int(age_s * SECOND)
        self.st_ctime_ns = changed - changed % precision


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "time_ns", lambda: NOW)


def is_kept(status: Status) -> bool:
    fields = (0, 0, 0, status.st_nlink, 0, 0, 0, 0, 0, 0)
    result = os.stat_result(fields, {"st_ctime_ns": status.st_ctime_ns})
    return may_be_kept(result)


@pytest.mark.parametrize("precision", [1, 1000, 1_000_000], ids=["ns", "us", "ms"])
def test_file_is_kept_once_the_clock_has_ticked(precision: int) -> None:
    assert not is_kept(Status(0.05, precision=precision))
    assert is_kept(Status(0.2, precision=precision))


@pytest.mark.parametrize("age_s", [0.2, 0.4, 0.45])
def test_where_times_are_whole_seconds_a_file_has_to_be_older(age_s: float) -> None:
    # Cut to the second, it may change again and look the same: until that second is over.
    assert not is_kept(Status(age_s, precision=SECOND))


def test_where_times_are_whole_seconds_an_old_file_is_kept() -> None:
    assert is_kept(Status(2.0, precision=SECOND))


def test_file_with_two_names_is_not_kept() -> None:
    assert not is_kept(Status(60.0, nlink=2))
