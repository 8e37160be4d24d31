"""How threads are divided among devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.devices.shares import (
    MOST,
    SharedSlots,
    Shares,
    default_threads,
    most_in_each,
    share_out,
)


@pytest.mark.parametrize(
    ("threads", "devices", "shares"),
    [
        (10, 1, Shares(5, 5, 10)),
        (20, 2, Shares(5, 10, 10)),
        (100, 10, Shares(5, 50, 10)),
        (100, 30, Shares(1, 70, 10)),
        (100, 100, Shares(1, 0, 10)),
        (100, 500, Shares(1, 0, 10)),
        (200, 1, Shares(100, 100, 200)),
        (1, 1, Shares(1, 0, 10)),
        (10, 0, Shares(5, 5, 10)),
    ],
)
def test_examples(threads: int, devices: int, shares: Shares) -> None:
    assert share_out(threads, devices) == shares


@given(st.integers(1, 10_000), st.integers(1, 500), st.data())
def test_devices_that_hang_leave_the_others_their_own(
    threads: int, devices: int, data: st.DataObject
) -> None:
    """However many hang, as far as there is a thread for each device."""
    own, shared, most = share_out(threads, devices)
    hanging = data.draw(st.integers(0, devices))
    held = hanging * own + min(shared, hanging * max(0, most - own))
    assert own >= 1
    assert most >= MOST
    if devices <= threads:
        assert own * devices + shared == threads
        assert threads - held >= (devices - hanging) * own


@pytest.mark.parametrize(
    ("processes", "most"), [(0, 10), (1, 10), (2, 5), (3, 4), (4, 3), (5, 2), (16, 2)]
)
def test_processes_share_out_what_a_device_may_hold(processes: int, most: int) -> None:
    assert most_in_each(processes) == most


@given(st.integers(0, 64), st.integers(0, 500))
def test_bound_of_a_device_does_not_multiply(processes: int, devices: int) -> None:
    """With the threads that a process has by default, of which each device has some."""
    most = most_in_each(processes)
    threads = default_threads(devices, most)
    shares = share_out(threads, devices, most)
    assert shares.most == most
    assert shares.most * max(1, processes) <= max(MOST + processes, 2 * processes)
    assert min(devices, 100) <= threads <= 100


class Borrower:
    """Takes what it is given, and counts it."""

    def __init__(self) -> None:
        self.borrowed = 0

    def borrow(self) -> None:
        self.borrowed += 1


def test_shared_slots_are_taken_given_and_resized() -> None:
    shared, one, other = SharedSlots(2), Borrower(), Borrower()
    assert [shared.take(one) for _ in range(3)] == [True, True, False]
    shared.hand_out()
    assert one.borrowed == 0
    shared.resize(3)
    # Not before the one that waits.
    assert not shared.take(other)
    shared.hand_out()
    assert (one.borrowed, other.borrowed) == (1, 0)
    shared.resize(2)
    shared.give()
    shared.hand_out()
    assert other.borrowed == 0
    shared.give()
    shared.hand_out()
    assert other.borrowed == 1
    shared.give()
    assert shared.take(one)
