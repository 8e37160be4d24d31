"""A stopped pool closes tasks that come late."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.pool.tasks import Blocker, PoolFixture
from tests.support.threads import is_held, run_all

if TYPE_CHECKING:
    from mogpoll import Poller, WorkerPool
    from tests.mogpoll.pool.tasks import FakeTask

pytestmark = pytest.mark.usefixtures("restless")


def test_second_stop_does_no_harm(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    assert pools.stop(pool)
    assert pool.stop()
    assert pool.stop(0)


@pytest.mark.parametrize("timeout_s", [1e12, float("inf")])
def test_time_out_longer_than_any_wait(pools: PoolFixture, timeout_s: float) -> None:
    pool = pools.pool(2)
    assert pool.stop(timeout_s)


def test_stop_by_many_threads(pools: PoolFixture) -> None:
    pool = pools.pool(4)
    tasks = [pools.added(pool) for _ in range(20)]
    assert run_all([pool.stop] * 8) == [True] * 8
    for task in tasks:
        task.wait_for_close()
    assert [task.closes for task in tasks] == [1] * 20


def test_stop_wakes_under_the_lock_under_which_another_closes_the_waker(
    pools: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pools.pool(1)
    held: list[bool] = []
    genuine = pool._monitor.end

    def end() -> None:
        held.append(is_held(pool._lock))
        genuine()

    monkeypatch.setattr(pool._monitor, "end", end)
    assert pool.stop()
    assert held == [True]


def test_stop_again_after_a_thread_was_stuck(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    blocker = Blocker()
    task = pools.added(pool, blocker)
    task.ping()
    blocker.wait_for(1)
    before = pool.stop(0.01)
    blocker.go_on.set()
    assert (before, pool.stop()) == (False, True)
    assert task.closes == 1


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_task_that_is_resumed_after_the_stop_is_closed(
    pools: PoolFixture, poller: Poller, closed: bool
) -> None:
    """By a disk that recovers, for example; the poller may be closed by then."""
    pool = pools.pool(2)
    parked = [pools.parked(pool) for _ in range(3)]
    pools.stop(pool)
    if closed:
        poller.close()
    for task in parked:
        pool.resume(task)
    assert [(task.steps, task.closes) for task in parked] == [(1, 1)] * 3


def test_tasks_that_are_resumed_beside_the_stop_are_closed_once(pools: PoolFixture) -> None:
    def stop(pool: WorkerPool[FakeTask, object]) -> None:
        pools.stop(pool)

    for _ in range(10):
        pool = pools.pool(3)
        parked = [pools.parked(pool) for _ in range(12)]
        resumers = [partial(pool.resume, task) for task in parked]
        run_all([*resumers[:6], partial(stop, pool), *resumers[6:]])
        assert [task.closes for task in parked] == [1] * 12


def test_stopped_pool_has_nothing_to_step_or_resize(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    pools.added(pool)
    pools.stop(pool)
    pool.resize(5)
    assert pool.step_now(lambda _: True) == 0
