"""The heap of a pool's deadlines and timers, at moments between two of its lines."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING

import pytest

from mogpoll.pool import timers as module
from mogpoll.pool.timers import Timers

if TYPE_CHECKING:
    from mogpoll.pool.table import Deadline

HOUR_S = 3600.0


class _Rig:
    """Timers without a thread, and a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        clock = types.SimpleNamespace(monotonic=lambda: self.now)
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(Timers, "_start", lambda _: None)
        self.deadlines: dict[int, Deadline] = {}
        self.called: list[str] = []
        self.timers = Timers("pool", self.deadlines, self._meet, lambda _: None)

    def _meet(self, key: int, _deadline: Deadline) -> bool:
        self.called.append(f"deadline {key}")
        return True

    def keys(self) -> list[int]:
        """Take out all that is due, in its order."""
        found = []
        while (due := self.timers._next_due()) is not None:
            due()
            found.append(int(self.called[-1].split()[1]))
        return found


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> _Rig:
    return _Rig(monkeypatch)


def test_what_is_due_at_this_very_moment_is_due(rig: _Rig) -> None:
    rig.timers.set_deadline(1, 7, 10.0)
    rig.now = rig.deadlines[1].at
    assert rig.keys() == [1]


def test_deadline_that_is_set_to_the_same_moment_has_one_entry(rig: _Rig) -> None:
    for _ in range(3):
        rig.timers.set_deadline(1, 7, 10.0)
    assert len(rig.timers._heap) == 1


def test_order_is_kept_when_what_has_no_use_is_removed(
    rig: _Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MIN_GARBAGE", 4)
    for key in range(30):
        rig.timers.set_deadline(key, key, 10.0 + key * 7 % 30)
    kept = range(0, 30, 3)
    for key in range(30):
        if key not in kept:
            del rig.deadlines[key]
    rig.timers.set_deadline(30, 7, 100.0)
    # Those that were there, and the last.
    assert len(rig.timers._heap) == len(rig.timers._entries) == len(kept) + 1
    rig.now += HOUR_S
    expected = sorted(rig.deadlines, key=lambda key: rig.deadlines[key].at)
    assert rig.keys() == expected


@pytest.mark.parametrize("left_s", [HOUR_S, 0.5, 0.0, -3.0])
def test_thread_sleeps_until_the_next_and_no_longer(rig: _Rig, left_s: float) -> None:
    timer = rig.timers.call_later(HOUR_S, lambda: None)
    rig.now = timer.at - left_s
    assert rig.timers._sleep_s() == max(0.0, left_s)


def test_thread_without_a_next_sleeps_until_there_is_one(rig: _Rig) -> None:
    assert rig.timers._sleep_s() is None


def test_call_that_is_cancelled_when_a_worker_has_it_is_counted_once(rig: _Rig) -> None:
    timer = rig.timers.call_later(1.0, lambda: None)
    rig.now += 1.0
    assert rig.timers._next_due() is not None
    assert rig.timers.counts() == (0, 0)
    assert timer.cancel()
    assert rig.timers.counts() == (0, 0)


def test_end_forgets_all(rig: _Rig) -> None:
    rig.timers.call_later(HOUR_S, lambda: None)
    rig.timers.end()
    assert rig.timers._heap == []
    rig.timers.set_deadline(1, 7, 10.0)
    assert (rig.timers._heap, rig.deadlines) == ([], {})
