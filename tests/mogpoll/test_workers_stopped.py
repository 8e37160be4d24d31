"""A pool that was stopped refuses nothing and loses nothing: what comes late is closed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.tasks import Bench, Blocker
from tests.support.threads import run_all

if TYPE_CHECKING:
    from mogpoll import Poller, WorkerPool
    from tests.mogpoll.tasks import Errand

pytestmark = pytest.mark.usefixtures("restless")


def test_second_stop_does_no_harm(bench: Bench) -> None:
    pool = bench.pool(2)
    assert bench.stop(pool)
    assert pool.stop()
    assert pool.stop(0)


def test_stop_by_many_threads(bench: Bench) -> None:
    pool = bench.pool(4)
    errands = [bench.added(pool) for _ in range(20)]
    assert run_all([pool.stop] * 8) == [True] * 8
    for errand in errands:
        errand.wait_for_close()
    assert [errand.closes for errand in errands] == [1] * 20


def test_stop_again_after_a_thread_was_stuck(bench: Bench) -> None:
    pool = bench.pool(1)
    blocker = Blocker()
    errand = bench.added(pool, blocker)
    errand.ping()
    blocker.wait_for(1)
    before = pool.stop(0.01)
    blocker.go_on.set()
    assert (before, pool.stop()) == (False, True)
    assert errand.closes == 1


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_task_that_is_resumed_after_the_stop_is_closed(
    bench: Bench, poller: Poller, closed: bool
) -> None:
    """By a disk that came back, say, while the poller may be gone already."""
    pool = bench.pool(2)
    parked = [bench.parked(pool) for _ in range(3)]
    bench.stop(pool)
    if closed:
        poller.close()
    for errand in parked:
        pool.resume(errand)
    assert [(errand.steps, errand.closes) for errand in parked] == [(1, 1)] * 3


def test_tasks_that_are_resumed_beside_the_stop_are_closed_once(bench: Bench) -> None:
    def stop(pool: WorkerPool[Errand, object]) -> None:
        bench.stop(pool)

    for _ in range(10):
        pool = bench.pool(3)
        parked = [bench.parked(pool) for _ in range(12)]
        resumers = [partial(pool.resume, errand) for errand in parked]
        run_all([*resumers[:6], partial(stop, pool), *resumers[6:]])
        assert [errand.closes for errand in parked] == [1] * 12


def test_stopped_pool_has_nothing_to_kick_or_resize(bench: Bench) -> None:
    pool = bench.pool(2)
    bench.added(pool)
    bench.stop(pool)
    pool.resize(5)
    assert pool.kick(lambda _: True) == 0
