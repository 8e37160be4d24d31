"""The threads of a pool, in numbers: who runs, who is parked, who is to end."""

from __future__ import annotations

import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll.pool import crew as module
from mogpoll.pool.crew import Crew, Worker
from mogpoll.threads import try_start_thread
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class _Rig:
    """A crew whose threads never run, and whose system may refuse them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.attempts = 0
        self.is_refusing = False
        self.names: list[str] = []
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: self.now))
        for name in ("start_thread", "try_start_thread"):
            monkeypatch.setattr(module, name, self._start)

    def _start(self, _run: Callable[[], None], name: str) -> Any:
        self.attempts += 1
        if self.is_refusing:
            return None
        self.names.append(name)
        return types.SimpleNamespace(is_alive=lambda: True)

    def crew(self, count: int, spare: int = 1) -> Crew:
        made = Crew("crew", spare, lambda _: None)
        made.start(count)
        return made


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> _Rig:
    return _Rig(monkeypatch)


def is_parked(crew: Crew, worker: Worker) -> bool:
    return worker not in crew.running()


def parks(crew: Crew, worker: Worker) -> bool:
    """Let a worker look whether it is to park; its gate is still open."""
    assert not crew.park_or_leave(worker, ())
    return is_parked(crew, worker)


def test_threads_are_numbered(rig: _Rig) -> None:
    crew = rig.crew(2)
    crew.resize(3)
    assert rig.names == ["crew-1", "crew-2", "crew-3"]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_parked_threads_leave_first(rig: _Rig, count: int) -> None:
    crew = rig.crew(6, spare=2)
    running = crew.running()
    assert not crew.resize(count)
    assert (crew.running(), crew.size, crew.leaving) == (running, count, 0)


def test_same_size_changes_no_thread(rig: _Rig) -> None:
    crew = rig.crew(4)
    before = list(crew.workers)
    assert not crew.resize(4)
    assert (crew.workers, rig.attempts) == (before, 4)


@pytest.mark.parametrize("count", [1, 2])
def test_running_threads_leave_where_none_is_parked(rig: _Rig, count: int) -> None:
    crew = rig.crew(3, spare=3)
    assert crew.resize(count)
    assert (crew.leaving, crew.attention) == (3 - count, True)
    for worker in crew.running()[count:]:
        assert crew.park_or_leave(worker, ())
    assert (crew.leaving, crew.attention, len(crew.workers)) == (0, False, count)


@pytest.mark.parametrize("change", [0, -1, -4])
def test_no_more_run_where_fewer_are_to(rig: _Rig, change: int) -> None:
    crew = rig.crew(4, spare=2)
    crew.change_running(change)
    assert (len(crew.running()), crew.attention) == (2, change < 0)


def test_as_many_park_as_are_to(rig: _Rig) -> None:
    crew = rig.crew(4)
    crew.change_running(3)
    crew.change_running(-2)
    workers = crew.running()
    assert [parks(crew, worker) for worker in workers] == [True, True, False, False]
    assert not crew.attention


def test_spare_threads_stay_though_more_are_to_park(rig: _Rig) -> None:
    crew = rig.crew(3, spare=2)
    crew.change_running(-1)
    assert [parks(crew, worker) for worker in crew.running()] == [False, False]


def test_thread_that_ended_by_an_error_is_not_replaced(rig: _Rig) -> None:
    crew = rig.crew(3)
    crew.drop(crew.workers[0])
    crew.start_missing()
    assert (crew.size, rig.attempts) == (2, 3)


def test_refused_threads_are_tried_again_each_second(rig: _Rig) -> None:
    crew = rig.crew(1)
    rig.is_refusing = True
    crew.resize(3)
    tries = []
    for second in (0.0, 0.5, 0.99, 1.0, 1.01, 2.0):
        rig.now = 1000.0 + second
        before = rig.attempts
        crew.start_missing()
        tries.append(rig.attempts - before)
    assert tries == [0, 0, 0, 1, 0, 1]


def test_new_size_is_tried_at_once(rig: _Rig) -> None:
    crew = rig.crew(1)
    rig.is_refusing = True
    crew.resize(3)
    rig.is_refusing = False
    crew.resize(3)
    assert crew.size == 3


def test_missing_threads_are_started_while_the_pool_is_busy(rig: _Rig) -> None:
    crew = rig.crew(1)
    rig.is_refusing = True
    crew.resize(3)
    rig.is_refusing = False
    rig.now += 1.0
    crew.change_running(0)
    assert crew.size == 3


@pytest.mark.parametrize("table", ["_threads", "workers", "_parked"])
def test_thread_that_there_is_no_memory_to_note_ends(table: str) -> None:
    crew = Crew("scarce", 1, lambda _: None)
    refusals = [MemoryError()]

    class Scarce(list[Any]):
        def append(self, item: Any) -> None:
            if refusals:
                raise refusals.pop()
            super().append(item)

    setattr(crew, table, Scarce())
    before = threading.active_count()
    assert not crew._enlist(try_start_thread)
    wait_until(lambda: threading.active_count() == before, "it has ended")
    assert (crew.workers, crew._parked) == ([], [])
    crew.resize(2)
    assert crew.size == 2
    for thread in crew.stop():
        thread.join()
