"""Files in memory: which are kept, how many, and when they have changed."""

from __future__ import annotations

import os

import pytest

from mogstored.files import recent_files
from mogstored.files.recent_files import KEPT_S, RecentFile, RecentFiles, is_settled, size_in_each
from tests.support.clock import stop_clock
from tests.support.threads import run_all

SECOND = 1_000_000_000
NOW = 1_795_000_000 * SECOND + SECOND // 2
KIB = 1024


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_files, "time_ns", lambda: NOW)


def file_of(size: int | None) -> RecentFile:
    return RecentFile(os.stat("/"), None if size is None else bytes(size))


def settles(age_s: float, precision: int = 1) -> bool:
    changed = NOW - int(age_s * SECOND)
    status = os.stat_result((0,) * 10, {"st_ctime_ns": changed - changed % precision})
    return is_settled(status)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("precision", [1, 1000, 1_000_000], ids=["ns", "us", "ms"])
def test_file_is_kept_once_the_clock_has_ticked(precision: int) -> None:
    assert not settles(0.05, precision)
    assert not settles(0.1, precision)
    assert settles(0.2, precision)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("age_s", [0.2, 0.4, 0.45])
def test_where_times_are_whole_seconds_a_file_has_to_be_older(age_s: float) -> None:
    # Cut to the second, it may change again and look the same: until that second is over.
    assert not settles(age_s, SECOND)


@pytest.mark.parametrize(("age_s", "settled"), [(0.95, False), (1.05, False), (1.15, True)])
def test_where_times_are_whole_seconds_a_second_and_a_tick_have_to_be_over(
    monkeypatch: pytest.MonkeyPatch, age_s: float, settled: bool
) -> None:
    changed = NOW - NOW % SECOND
    monkeypatch.setattr(recent_files, "time_ns", lambda: changed + int(age_s * SECOND))
    assert settles((NOW - changed) / SECOND) is settled


@pytest.mark.usefixtures("clock")
def test_where_times_are_whole_seconds_an_old_file_is_kept() -> None:
    assert settles(2.0, SECOND)


def status_of(ino: int, dev: int, ctime_ns: int) -> os.stat_result:
    return os.stat_result((0, ino, dev, *[0] * 7), {"st_ctime_ns": ctime_ns})


@pytest.mark.parametrize(
    "other",
    [status_of(13, 2049, NOW), status_of(12, 2050, NOW), status_of(12, 2049, NOW + 1)],
    ids=["number", "file-system", "time"],
)
def test_file_is_another_by_its_number_its_file_system_or_its_time(other: os.stat_result) -> None:
    file = RecentFile(status_of(12, 2049, NOW), b"")
    assert file.is_of(status_of(12, 2049, NOW))
    assert not file.is_of(other)


def test_file_is_found_until_another_takes_its_place() -> None:
    files, first, second = RecentFiles(10 * KIB), file_of(KIB), file_of(None)
    files.keep(b"dev1/a", first)
    assert files.get(b"dev1/a") is first
    assert files.get(b"dev1/b") is None
    files.keep(b"dev1/a", second)
    assert files.get(b"dev1/a") is second


def test_files_take_no_more_memory_than_they_may() -> None:
    files = RecentFiles(10 * KIB)
    for number in range(1000):
        files.keep(b"dev1/%d" % number, file_of(KIB))
    kept = [number for number in range(1000) if files.get(b"dev1/%d" % number)]
    assert 0 < len(kept) < 10
    assert kept[-1] == 999


def test_memory_is_used_up_to_its_limit() -> None:
    files = RecentFiles(2 * (512 + KIB))
    for path in (b"dev1/a", b"dev1/b"):
        files.keep(path, file_of(KIB))
    assert files.get(b"dev1/a") is not None
    files.keep(b"dev1/c", file_of(0))
    assert files.get(b"dev1/a") is None


def test_processes_share_the_memory_of_a_node() -> None:
    assert [size_in_each(count) // KIB for count in (1, 4, 1000)] == [16 * KIB, 4 * KIB, KIB]


def test_file_is_right_for_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_clock(monkeypatch, recent_files, 100.0)
    assert (KEPT_S, file_of(0).until) == (5.0, 105.0)


def test_file_that_is_kept_again_is_counted_once() -> None:
    files, other = RecentFiles(10 * KIB), file_of(KIB)
    files.keep(b"dev1/other", other)
    for _ in range(1000):
        files.keep(b"dev1/a", file_of(KIB))
    assert files.get(b"dev1/other") is other


def test_file_gives_its_memory_back_when_another_takes_its_place() -> None:
    files, first = RecentFiles(10 * KIB), file_of(KIB)
    files.keep(b"dev1/a", first)
    files.keep(b"dev1/a", file_of(KIB))
    assert (first.content, first.until) == (None, 0.0)


def test_files_give_their_memory_back_when_there_is_too_little() -> None:
    files, first = RecentFiles(10 * KIB), file_of(KIB)
    files.keep(b"dev1/a", first)
    for number in range(10):
        files.keep(b"dev1/%d" % number, file_of(KIB))
    assert files.get(b"dev1/a") is None
    assert (first.content, first.until) == (None, 0.0)


def test_file_that_is_longer_than_all_memory_is_the_only_one() -> None:
    files = RecentFiles(KIB)
    files.keep(b"dev1/a", file_of(1))
    files.keep(b"dev1/b", file_of(2 * KIB))
    assert files.get(b"dev1/a") is None


def test_threads_share_files() -> None:
    """No thread sees the content of another path, and what they take is counted right."""
    files, status = RecentFiles(8 * KIB), os.stat("/")
    wrong: list[bytes] = []

    def read_and_keep() -> None:
        for number in range(400):
            path = b"dev1/%d" % (number % 7)
            file = files.get(path)
            if file is not None and file.content not in (None, path * 100):
                wrong.append(path)
            files.keep(path, RecentFile(status, path * 100))

    run_all([read_and_keep] * 6)
    assert wrong == []
    kept = files._files.values()
    assert files._size == sum(512 + len(file.content or b"") for file in kept)
    assert all(file.content for file in kept)
