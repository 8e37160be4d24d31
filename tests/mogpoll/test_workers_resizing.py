"""Pools that grow, shrink and stop, idle or busy."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import Interest, Next
from tests.mogpoll.tasks import Blocker, Errand
from tests.support.threads import Running, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.mogpoll.tasks import Bench


def workers(name: str = "worker") -> int:
    """Count the threads of a pool of that name, without its monitor."""
    return sum(
        thread.name.startswith(f"{name}-") and thread.name != f"{name}-monitor"
        for thread in threading.enumerate()
    )


def wait_for_workers(count: int) -> None:
    wait_until(lambda: workers() == count, f"there are {count} worker threads")


@pytest.mark.parametrize("spare", [1, 2, 6])
def test_all_threads_exist_from_the_start(bench: Bench, spare: int) -> None:
    pool = bench.pool(6, spare=spare)
    assert (workers(), pool.size) == (6, 6)


def serves(bench: Bench, pool: object) -> bool:
    bench.fence(pool)  # type: ignore[arg-type]
    return True


@pytest.mark.parametrize("spare", [1, 3])
@pytest.mark.parametrize("sizes", [[8], [1], [2, 9, 1, 4], [1, 1, 12, 12]])
def test_idle_pool_takes_every_size(bench: Bench, spare: int, sizes: list[int]) -> None:
    pool = bench.pool(4, spare=spare)
    for size in sizes:
        pool.resize(size)
        assert pool.size == size
        wait_for_workers(size)
        assert serves(bench, pool)


def test_threads_that_the_system_refuses_do_not_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = bench.pool(2)
    left = iter(range(3))

    def start(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        genuine(thread)

    genuine = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        pool.resize(10)
    monkeypatch.undo()
    assert (workers(), pool.size) == (5, 5)
    assert serves(bench, pool)
    pool.resize(4)
    wait_for_workers(4)


def test_idle_workers_that_all_wait_leave_too(bench: Bench) -> None:
    pool = bench.pool(6, spare=6)
    wait_until(lambda: sum(w.waiting for w in pool._workers) == 6, "all wait for an event")
    pool.resize(2)
    wait_for_workers(2)
    assert serves(bench, pool)


def test_busy_workers_finish_their_step_first(bench: Bench) -> None:
    pool = bench.pool(4, spare=4)
    blocker = Blocker()
    errands = [bench.added(pool, blocker) for _ in range(4)]
    for errand in errands:
        errand.ping()
    blocker.wait_for(4)
    pool.resize(1)
    assert (pool.size, workers()) == (1, 4)
    blocker.go_on.set()
    for errand in errands:
        errand.wait_for_steps(1)
    wait_for_workers(1)
    assert serves(bench, pool)


def test_growth_takes_back_what_has_not_left_yet(bench: Bench) -> None:
    pool = bench.pool(4, spare=4)
    blocker = Blocker()
    for _ in range(4):
        bench.added(pool, blocker).ping()
    blocker.wait_for(4)
    pool.resize(1)
    pool.resize(4)
    blocker.go_on.set()
    for _ in range(20):
        assert serves(bench, pool)
    assert (pool.size, workers()) == (4, 4)


def test_growth_relieves_a_pool_whose_threads_are_all_stuck(bench: Bench) -> None:
    pool = bench.pool(2, spare=1)
    blocker = Blocker()
    for _ in range(6):
        bench.added(pool, blocker).ping()
    blocker.wait_for(2)
    pool.resize(6)
    blocker.wait_for(4)
    blocker.go_on.set()


@pytest.mark.parametrize("threads", [0, -3])
def test_size_below_one_is_refused(bench: Bench, threads: int) -> None:
    pool = bench.pool(2)
    with pytest.raises(ValueError, match="threads"):
        pool.resize(threads)
    assert pool.size == 2


@pytest.mark.usefixtures("restless")
def test_size_changes_under_load_lose_no_task(bench: Bench) -> None:
    pool = bench.pool(4, spare=2)
    over = threading.Event()
    chance = random.Random(4)

    def resize() -> None:
        while not over.is_set():
            pool.resize(chance.randrange(1, 9))

    def act(errand: Errand) -> Next:
        return Next.AGAIN if errand.steps < 200 else Next.CLOSE

    def live() -> None:
        errands = [bench.added(pool, act, Interest.WRITE) for _ in range(10)]
        for errand in errands:
            errand.wait_for_close()

    def live_all() -> None:
        try:
            run_all([live] * 3)
        finally:
            over.set()

    run_all([resize, resize, live_all])
    pool.resize(3)
    wait_for_workers(3)
    assert serves(bench, pool)


# Stopping


def test_n26_stop_ends_idle_threads(bench: Bench) -> None:
    pool = bench.pool(8, spare=8)
    assert bench.stop(pool)
    assert not [t for t in threading.enumerate() if t.name.startswith("worker-")]


@pytest.mark.parametrize("spare", [1, 8])
def test_n26_stop_at_once_after_the_start(bench: Bench, spare: int) -> None:
    for _ in range(20):
        assert bench.stop(bench.pool(8, spare=spare))
    assert workers() == 0


def test_stop_finishes_steps_and_closes_every_task_once(bench: Bench) -> None:
    pool = bench.pool(4, spare=4)
    blocker = Blocker()
    errands = [bench.added(pool) for _ in range(10)]
    stepped = [bench.added(pool, blocker) for _ in range(4)]
    for errand in stepped:
        errand.ping()
    blocker.wait_for(4)
    stopping = Running(lambda: bench.stop(pool))
    wait_until(lambda: pool._stopping, "the pool is being stopped")
    assert not stopping.is_over()
    blocker.go_on.set()
    assert stopping.result()
    assert [errand.steps for errand in stepped] == [1] * 4
    assert [errand.closes for errand in [*errands, *stepped]] == [1] * 14


def test_stop_closes_what_was_resumed_and_not_stepped(bench: Bench) -> None:
    pool = bench.pool(1)
    parked = [bench.parked(pool) for _ in range(3)]
    blocker = Blocker()
    bench.added(pool, blocker).ping()
    blocker.wait_for(1)
    for errand in parked:
        pool.resume(errand)
    stopping = Running(lambda: bench.stop(pool))
    wait_until(lambda: pool._stopping, "the pool is being stopped")
    blocker.go_on.set()
    assert stopping.result()
    assert [errand.closes for errand in parked] == [1] * 3


def test_stop_gives_up_on_a_thread_that_is_stuck_and_touches_nothing(bench: Bench) -> None:
    pool = bench.pool(2, spare=2)
    blocker = Blocker()
    waiting, stuck = bench.added(pool), bench.added(pool, blocker)
    stuck.ping()
    blocker.wait_for(1)
    assert not Running(lambda: pool.stop(0.05)).result()
    assert (waiting.closes, stuck.closes) == (0, 0)
    blocker.go_on.set()
    assert bench.stop(pool, 20.0)
    assert (waiting.closes, stuck.closes) == (1, 1)


@pytest.mark.usefixtures("restless")
def test_stop_under_load(bench: Bench) -> None:
    pool = bench.pool(8, spare=4)
    errands = [bench.added(pool, lambda _: Next.AGAIN, Interest.WRITE) for _ in range(20)]
    for errand in errands:
        errand.wait_for_steps(5)
    assert bench.stop(pool)
    assert [errand.closes for errand in errands] == [1] * 20


def test_stop_after_shrinking(bench: Bench) -> None:
    pool = bench.pool(6, spare=3)
    pool.resize(1)
    assert bench.stop(pool)
    assert workers() == 0


def test_stopped_pool_leaves_the_poller_to_others(bench: Bench) -> None:
    assert bench.stop(bench.pool(2))
    pool = bench.pool(2)
    assert serves(bench, pool)
