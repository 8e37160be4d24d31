"""Few threads run while nothing blocks, and as many as needed when steps block."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from mogpoll import Interest, Next
from mogpoll.pool import crew
from mogpoll.pool.crew import default_spare
from tests.mogpoll.pool.tasks import Blocker, FakeTask
from tests.support.sockets import drain
from tests.support.threads import run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import WorkerPool
    from tests.mogpoll.pool.tasks import PoolFixture


def running(pool: WorkerPool[FakeTask, object]) -> int:
    return len(pool._crew.running())


@pytest.mark.parametrize(("is_locked", "spare"), [(None, 1), (True, 1), (False, 6)])
def test_interpreter_lock_lets_one_run_and_else_each_processor(
    monkeypatch: pytest.MonkeyPatch, is_locked: bool | None, spare: int
) -> None:
    """None: an interpreter that always has it."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: is_locked, raising=False)
    if is_locked is None:
        monkeypatch.delattr(sys, "_is_gil_enabled")
    monkeypatch.setattr(crew, "usable_cores", lambda: 6)
    assert default_spare() == spare


@pytest.mark.parametrize("spare", [1, 3])
def test_idle_pool_has_its_spare_threads_running(pools: PoolFixture, spare: int) -> None:
    assert running(pools.pool(8, spare=spare)) == spare


def test_more_spare_threads_than_threads_are_all(pools: PoolFixture) -> None:
    pool = pools.pool(2, spare=5)
    assert running(pool) == 2
    pools.fence(pool)


@pytest.mark.parametrize("spare", [1, 2])
def test_blocked_steps_make_others_run_until_all_do(pools: PoolFixture, spare: int) -> None:
    pool = pools.pool(8, spare=spare)
    blocker = Blocker()
    tasks = [pools.added(pool, blocker) for _ in range(12)]
    for task in tasks:
        task.ping()
    blocker.wait_for(8)
    assert not blocker.entered.acquire(blocking=False)
    blocker.go_on.set()
    for task in tasks:
        task.wait_for_steps(1)


def test_one_free_thread_serves_all_other_tasks(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=1)
    blocker = Blocker()
    for _ in range(3):
        pools.added(pool, blocker).ping()
    blocker.wait_for(3)
    others = [pools.added(pool) for _ in range(20)]
    for count in range(1, 10):
        for task in others:
            task.ping()
        for task in others:
            task.wait_for_steps(count)
    blocker.go_on.set()


def test_event_after_all_threads_got_stuck_is_served(pools: PoolFixture) -> None:
    """Nothing was queued when they got stuck."""
    pool = pools.pool(4, spare=1)
    blocker = Blocker()
    pools.added(pool, blocker).ping()
    blocker.wait_for(1)
    wait_until(lambda: running(pool) == 1, "the others stand by")
    pools.fence(pool)
    blocker.go_on.set()


def test_task_resumed_after_all_threads_got_stuck_is_stepped(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=1)
    parked = pools.parked(pool)
    blocker = Blocker()
    pools.added(pool, blocker).ping()
    blocker.wait_for(1)
    pool.resume(parked)
    parked.wait_for_steps(2)
    blocker.go_on.set()


def test_surplus_threads_stand_by_again(pools: PoolFixture) -> None:
    pool = pools.pool(8, spare=1)
    blocker = Blocker()
    for _ in range(8):
        pools.added(pool, blocker).ping()
    blocker.wait_for(8)
    assert running(pool) == 8
    blocker.go_on.set()
    quick = [pools.added(pool, lambda _: Next.AGAIN, Interest.WRITE) for _ in range(4)]
    wait_until(lambda: running(pool) <= 2, "at most one more than needed runs", 30.0)
    assert all(not task.closes for task in quick)


def test_pool_that_shrank_and_grew_by_need_serves_on(pools: PoolFixture) -> None:
    pool = pools.pool(6, spare=1)
    for _ in range(5):
        blocker = Blocker()
        tasks = [pools.added(pool, blocker) for _ in range(6)]
        for task in tasks:
            task.ping()
        blocker.wait_for(6)
        blocker.go_on.set()
        for task in tasks:
            task.wait_for_steps(1)
        for _ in range(20):
            pools.fence(pool)


@pytest.mark.usefixtures("restless")
def test_no_task_is_forgotten_while_threads_come_and_go(pools: PoolFixture) -> None:
    """Steps block at random while messages keep arriving."""
    pool = pools.pool(8, spare=1)

    def converse(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(4):
            blocker = Blocker()
            blocked = [pools.added(pool, blocker) for _ in range(chance.randrange(3))]
            for task in blocked:
                task.ping()
            talker = pools.added(pool)
            for count in range(1, 30):
                talker.ping()
                talker.wait_for_steps(count)
            blocker.go_on.set()
            for task in blocked:
                task.wait_for_steps(1)

    run_all([lambda seed=seed: converse(seed) for seed in range(3)])  # type: ignore[misc]


def test_spare_of_none_runs_a_thread_when_there_is_work(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=0)
    for _ in range(3):
        pools.fence(pool)


def test_slow_task_among_quick_ones_is_left_to_itself(pools: PoolFixture) -> None:
    pool = pools.pool(3, spare=1)
    blocker = Blocker()
    slow = pools.added(pool, blocker)
    slow.ping()
    blocker.wait_for(1)
    slow.ping()
    for _ in range(5):
        pools.fence(pool)
    assert slow.steps == 0
    blocker.go_on.set()
    slow.wait_for_steps(1)
    drain(slow.far)
