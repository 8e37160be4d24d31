"""How threads are divided among devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogstored.storage.shares import MOST, Lent, Shares, share_out


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
    own, lent, most = share_out(threads, devices)
    hanging = data.draw(st.integers(0, devices))
    held = hanging * own + min(lent, hanging * max(0, most - own))
    assert own >= 1
    assert most >= MOST
    if devices <= threads:
        assert own * devices + lent == threads
        assert threads - held >= (devices - hanging) * own


def test_lent_slots_are_taken_given_and_resized() -> None:
    lent = Lent(2)
    assert [lent.take() for _ in range(3)] == [True, True, False]
    lent.resize(3)
    assert [lent.take() for _ in range(2)] == [True, False]
    lent.resize(1)
    lent.give()
    assert not lent.take()
    lent.give()
    lent.give()
    assert lent.take()
