"""The room on a device, by what looks have found and what was stored since."""

from __future__ import annotations

import threading

import pytest

from mogstored.config.values.free_space import parse_min_free
from mogstored.devices.space import Space

TEN = parse_min_free("10")


def space_of(available: int, total: int = 1000) -> Space:
    space = Space()
    space.end_look(available, total, space.begin_look())
    return space


def test_before_the_first_look_the_file_system_decides() -> None:
    space = Space()
    assert space.take(10**18, TEN) is None
    assert space.promise(10**18, TEN) is None


@pytest.mark.parametrize(("size", "room"), [(0, 90), (90, 0), (91, -1)])
def test_room(size: int, room: int) -> None:
    assert space_of(100).take(size, TEN) == room
    assert space_of(100).promise(size, TEN) == room


def test_part_of_the_whole() -> None:
    assert space_of(100).take(50, parse_min_free("5%")) == 0
    assert space_of(100).take(51, parse_min_free("5%")) == -1


def test_nothing_fits_below_the_limit() -> None:
    assert space_of(9).take(0, TEN) == -1


def test_what_was_refused_does_not_count() -> None:
    space = space_of(100)
    assert space.take(91, TEN) == -1
    assert space.promise(91, TEN) == -1
    assert space.take(90, TEN) == 0


def test_promises_count_until_they_are_kept_or_released() -> None:
    space = space_of(100)
    assert space.promise(60, TEN) == 30
    assert space.take(31, TEN) == -1
    space.keep(20)
    assert space.take(31, TEN) == -1
    space.release(40)
    assert space.take(31, TEN) == 39


def test_look_finds_what_was_stored_and_not_what_was_promised() -> None:
    space = space_of(100)
    space.take(20, TEN)
    space.promise(50, TEN)
    space.keep(10)
    before = space.begin_look()
    # 30 bytes are there now, 40 more will come.
    space.end_look(70, 1000, before)
    assert space.take(20, TEN) == 0


def test_what_is_stored_during_a_look_counts_until_the_next() -> None:
    space = space_of(100)
    before = space.begin_look()
    space.take(30, TEN)
    # Whether the look has seen them is not known.
    space.end_look(70, 1000, before)
    assert space.take(31, TEN) == -1
    space.end_look(70, 1000, space.begin_look())
    assert space.take(31, TEN) == 29


def test_threads_take_what_is_there_and_no_more() -> None:
    space = space_of(10_010)
    taken: list[int] = []
    start = threading.Barrier(4)

    def take() -> None:
        start.wait()
        taken.append(sum((space.take(1, TEN) or 0) >= 0 for _ in range(1000)))
        for _ in range(2000):
            room = space.promise(1, TEN)
            if room is not None and room >= 0:
                space.keep(1)
                taken.append(1)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 10_000
    assert space.take(1, TEN) == -1
