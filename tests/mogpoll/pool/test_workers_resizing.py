"""Pools that grow, shrink and stop, idle or busy."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import BouncingWaker, Interest, Next
from tests.mogpoll.pool.tasks import Blocker, FakeTask
from tests.support.threads import Running, is_held, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import Poller
    from tests.mogpoll.pool.tasks import PoolFixture


def workers(name: str = "worker") -> int:
    """Count the workers of the pool of that name."""
    return sum(
        thread.name.startswith(f"{name}-") and thread.name != f"{name}-monitor"
        for thread in threading.enumerate()
    )


def wait_for_workers(count: int) -> None:
    wait_until(lambda: workers() == count, f"there are {count} worker threads")


@pytest.mark.parametrize("spare", [1, 2, 6])
def test_all_threads_exist_from_the_start(pools: PoolFixture, spare: int) -> None:
    pool = pools.pool(6, spare=spare)
    assert (workers(), pool.size) == (6, 6)


def serves(pools: PoolFixture, pool: object) -> bool:
    pools.fence(pool)  # type: ignore[arg-type]
    return True


@pytest.mark.parametrize("spare", [1, 3])
@pytest.mark.parametrize("sizes", [[8], [1], [2, 9, 1, 4], [1, 1, 12, 12]])
def test_idle_pool_takes_every_size(pools: PoolFixture, spare: int, sizes: list[int]) -> None:
    pool = pools.pool(4, spare=spare)
    for size in sizes:
        pool.resize(size)
        assert pool.size == size
        wait_for_workers(size)
        assert serves(pools, pool)


def test_idle_workers_that_all_wait_leave_too(pools: PoolFixture) -> None:
    pool = pools.pool(6, spare=6)
    wait_until(lambda: sum(w.waiting for w in pool._crew.workers) == 6, "all wait for an event")
    pool.resize(2)
    wait_for_workers(2)
    assert serves(pools, pool)


def test_waker_is_received_under_the_lock_that_counts_the_workers(
    pools: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the last to leave may take the event that another waits for."""
    pool = pools.pool(4, spare=4)
    held: list[bool] = []
    genuine = BouncingWaker.receive

    def receive(waker: BouncingWaker, poller: Poller) -> None:
        held.append(is_held(pool._crew.lock))
        genuine(waker, poller)

    monkeypatch.setattr(BouncingWaker, "receive", receive)
    pool.resize(1)
    wait_for_workers(1)
    # As after a failure.
    assert not pool._loop._recover(pool._crew.workers[0])
    assert len(held) >= 4
    assert all(held)


def test_start_does_not_look_at_each_thread_for_each_other(
    pools: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[threading.Thread] = []
    genuine = threading.Thread.is_alive

    def is_alive(thread: threading.Thread) -> bool:
        looks.append(thread)
        return genuine(thread)

    monkeypatch.setattr(threading.Thread, "is_alive", is_alive)
    pools.pool(40)
    assert len(looks) <= 2 * 40


def test_threads_that_ended_are_not_kept(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    for count in (40, 2) * 3:
        pool.resize(count)
        wait_for_workers(count)

    def kept() -> int:
        pool.resize(2)
        return len(pool._crew._threads)

    wait_until(lambda: kept() == 2, "those that have ended are dropped")


def test_busy_workers_finish_their_step_first(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=4)
    blocker = Blocker()
    tasks = [pools.added(pool, blocker) for _ in range(4)]
    for task in tasks:
        task.ping()
    blocker.wait_for(4)
    pool.resize(1)
    assert (pool.size, workers()) == (1, 4)
    blocker.go_on.set()
    for task in tasks:
        task.wait_for_steps(1)
    wait_for_workers(1)
    assert serves(pools, pool)


def test_growth_takes_back_what_has_not_left_yet(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=4)
    blocker = Blocker()
    for _ in range(4):
        pools.added(pool, blocker).ping()
    blocker.wait_for(4)
    pool.resize(1)
    pool.resize(4)
    blocker.go_on.set()
    for _ in range(20):
        assert serves(pools, pool)
    assert (pool.size, workers()) == (4, 4)


def test_growth_relieves_a_pool_whose_threads_are_all_stuck(pools: PoolFixture) -> None:
    pool = pools.pool(2, spare=1)
    blocker = Blocker()
    for _ in range(6):
        pools.added(pool, blocker).ping()
    blocker.wait_for(2)
    pool.resize(6)
    blocker.wait_for(4)
    blocker.go_on.set()


@pytest.mark.parametrize("threads", [0, -3])
def test_size_below_one_is_refused(pools: PoolFixture, threads: int) -> None:
    pool = pools.pool(2)
    with pytest.raises(ValueError, match="threads"):
        pool.resize(threads)
    assert pool.size == 2


@pytest.mark.usefixtures("restless")
def test_size_changes_under_load_lose_no_task(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=2)
    over = threading.Event()
    chance = random.Random(4)

    def resize() -> None:
        while not over.is_set():
            pool.resize(chance.randrange(1, 9))

    def act(task: FakeTask) -> Next:
        return Next.AGAIN if task.steps < 200 else Next.CLOSE

    def live() -> None:
        tasks = [pools.added(pool, act, Interest.WRITE) for _ in range(10)]
        for task in tasks:
            task.wait_for_close()

    def live_all() -> None:
        try:
            run_all([live] * 3)
        finally:
            over.set()

    run_all([resize, resize, live_all])
    pool.resize(3)
    wait_for_workers(3)
    assert serves(pools, pool)


# Stopping


def test_n26_stop_ends_idle_threads(pools: PoolFixture) -> None:
    pool = pools.pool(8, spare=8)
    assert pools.stop(pool)
    assert not [t for t in threading.enumerate() if t.name.startswith("worker-")]


@pytest.mark.parametrize("spare", [1, 8])
def test_n26_stop_at_once_after_the_start(pools: PoolFixture, spare: int) -> None:
    for _ in range(20):
        assert pools.stop(pools.pool(8, spare=spare))
    assert workers() == 0


def test_stop_finishes_steps_and_closes_every_task_once(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=4)
    blocker = Blocker()
    tasks = [pools.added(pool) for _ in range(10)]
    stepped = [pools.added(pool, blocker) for _ in range(4)]
    for task in stepped:
        task.ping()
    blocker.wait_for(4)
    stopping = Running(lambda: pools.stop(pool))
    wait_until(lambda: pool._crew.stopping, "the pool is being stopped")
    assert not stopping.is_over()
    blocker.go_on.set()
    assert stopping.result()
    assert [task.steps for task in stepped] == [1] * 4
    assert [task.closes for task in [*tasks, *stepped]] == [1] * 14


def test_stop_closes_what_was_resumed_and_not_stepped(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    parked = [pools.parked(pool) for _ in range(3)]
    blocker = Blocker()
    pools.added(pool, blocker).ping()
    blocker.wait_for(1)
    for task in parked:
        pool.resume(task)
    stopping = Running(lambda: pools.stop(pool))
    wait_until(lambda: pool._crew.stopping, "the pool is being stopped")
    blocker.go_on.set()
    assert stopping.result()
    assert [task.closes for task in parked] == [1] * 3


def test_stop_gives_up_on_a_thread_that_is_stuck_and_touches_nothing(pools: PoolFixture) -> None:
    pool = pools.pool(2, spare=2)
    blocker = Blocker()
    waiting, stuck = pools.added(pool), pools.added(pool, blocker)
    stuck.ping()
    blocker.wait_for(1)
    assert not Running(lambda: pool.stop(0.05)).result()
    assert (waiting.closes, stuck.closes) == (0, 0)
    blocker.go_on.set()
    assert pools.stop(pool, 20.0)
    assert (waiting.closes, stuck.closes) == (1, 1)


def test_stop_without_time_waits_for_no_thread(
    pools: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []

    class Stuck:
        join = waits.append

        def is_alive(self) -> bool:
            return True

    pool = pools.pool(1)
    with monkeypatch.context() as patched:
        patched.setattr(pool._crew, "stop", lambda: [Stuck()])
        assert not pool.stop(0)
    assert waits == [0.0]


@pytest.mark.usefixtures("restless")
def test_stop_under_load(pools: PoolFixture) -> None:
    pool = pools.pool(8, spare=4)
    tasks = [pools.added(pool, lambda _: Next.AGAIN, Interest.WRITE) for _ in range(20)]
    for task in tasks:
        task.wait_for_steps(5)
    assert pools.stop(pool)
    assert [task.closes for task in tasks] == [1] * 20


def test_stop_after_shrinking(pools: PoolFixture) -> None:
    pool = pools.pool(6, spare=3)
    pool.resize(1)
    assert pools.stop(pool)
    assert workers() == 0


def test_stopped_pool_leaves_the_poller_to_others(pools: PoolFixture) -> None:
    assert pools.stop(pools.pool(2))
    pool = pools.pool(2)
    assert serves(pools, pool)
