"""Few threads run while nothing blocks, and as many as it takes when steps do."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from mogpoll import Interest, Next
from tests.mogpoll.tasks import Blocker, Errand
from tests.support.sockets import drain
from tests.support.threads import run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import WorkerPool
    from tests.mogpoll.tasks import Bench


def running(pool: WorkerPool[Errand, object]) -> int:
    return len(pool._running())


@pytest.mark.parametrize("spare", [1, 3])
def test_idle_pool_has_its_spare_threads_running(bench: Bench, spare: int) -> None:
    assert running(bench.pool(8, spare=spare)) == spare


def test_more_spare_threads_than_threads_are_all(bench: Bench) -> None:
    pool = bench.pool(2, spare=5)
    assert running(pool) == 2
    bench.fence(pool)


@pytest.mark.parametrize("spare", [1, 2])
def test_blocked_steps_make_others_run_until_all_do(bench: Bench, spare: int) -> None:
    pool = bench.pool(8, spare=spare)
    blocker = Blocker()
    errands = [bench.added(pool, blocker) for _ in range(12)]
    for errand in errands:
        errand.ping()
    blocker.wait_for(8)
    assert not blocker.entered.acquire(blocking=False)
    blocker.go_on.set()
    for errand in errands:
        errand.wait_for_steps(1)


def test_one_free_thread_serves_everybody_else(bench: Bench) -> None:
    pool = bench.pool(4, spare=1)
    blocker = Blocker()
    for _ in range(3):
        bench.added(pool, blocker).ping()
    blocker.wait_for(3)
    others = [bench.added(pool) for _ in range(20)]
    for count in range(1, 10):
        for errand in others:
            errand.ping()
        for errand in others:
            errand.wait_for_steps(count)
    blocker.go_on.set()


def test_event_after_everybody_got_stuck_is_served(bench: Bench) -> None:
    """Nothing was queued when they got stuck, so nobody could have known."""
    pool = bench.pool(4, spare=1)
    blocker = Blocker()
    bench.added(pool, blocker).ping()
    blocker.wait_for(1)
    wait_until(lambda: running(pool) == 1, "the others stand by")
    bench.fence(pool)
    blocker.go_on.set()


def test_task_resumed_after_everybody_got_stuck_is_stepped(bench: Bench) -> None:
    pool = bench.pool(4, spare=1)
    parked = bench.parked(pool)
    blocker = Blocker()
    bench.added(pool, blocker).ping()
    blocker.wait_for(1)
    pool.resume(parked)
    parked.wait_for_steps(2)
    blocker.go_on.set()


def test_surplus_threads_stand_by_again(bench: Bench) -> None:
    pool = bench.pool(8, spare=1)
    blocker = Blocker()
    for _ in range(8):
        bench.added(pool, blocker).ping()
    blocker.wait_for(8)
    assert running(pool) == 8
    blocker.go_on.set()
    quick = [bench.added(pool, lambda _: Next.AGAIN, Interest.WRITE) for _ in range(4)]
    wait_until(lambda: running(pool) <= 2, "at most one more than needed runs", 30.0)
    assert all(not errand.closes for errand in quick)


def test_pool_that_shrank_and_grew_by_need_serves_on(bench: Bench) -> None:
    pool = bench.pool(6, spare=1)
    for _ in range(5):
        blocker = Blocker()
        errands = [bench.added(pool, blocker) for _ in range(6)]
        for errand in errands:
            errand.ping()
        blocker.wait_for(6)
        blocker.go_on.set()
        for errand in errands:
            errand.wait_for_steps(1)
        for _ in range(20):
            bench.fence(pool)


@pytest.mark.usefixtures("restless")
def test_no_task_is_forgotten_while_threads_come_and_go(bench: Bench) -> None:
    """Steps that block now and then, at random, with messages to answer all the while."""
    pool = bench.pool(8, spare=1)

    def converse(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(4):
            blocker = Blocker()
            blocked = [bench.added(pool, blocker) for _ in range(chance.randrange(3))]
            for errand in blocked:
                errand.ping()
            talker = bench.added(pool)
            for count in range(1, 30):
                talker.ping()
                talker.wait_for_steps(count)
            blocker.go_on.set()
            for errand in blocked:
                errand.wait_for_steps(1)

    run_all([lambda seed=seed: converse(seed) for seed in range(3)])  # type: ignore[misc]


def test_spare_of_none_runs_somebody_when_there_is_work(bench: Bench) -> None:
    pool = bench.pool(4, spare=0)
    for _ in range(3):
        bench.fence(pool)


def test_slow_task_among_quick_ones_is_left_to_itself(bench: Bench) -> None:
    pool = bench.pool(3, spare=1)
    blocker = Blocker()
    slow = bench.added(pool, blocker)
    slow.ping()
    blocker.wait_for(1)
    slow.ping()
    for _ in range(5):
        bench.fence(pool)
    assert slow.steps == 0
    blocker.go_on.set()
    slow.wait_for_steps(1)
    drain(slow.far)
