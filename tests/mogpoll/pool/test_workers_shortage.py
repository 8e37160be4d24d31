"""A pool without enough threads or memory keeps working, and recovers."""

from __future__ import annotations

import errno
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import BouncingWaker, Next, WorkerPool
from mogpoll.threads import ThreadRefused
from tests.mogpoll.pool.shortage import POINTS, Shortage, try_out
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import Poller
    from tests.mogpoll.pool.tasks import FakeTask, PoolFixture


class Refusing:
    """Refuses to start threads after the next `left`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 1000
        genuine = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("can't start new thread")
            genuine(thread)

        monkeypatch.setattr(threading.Thread, "start", start)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    return Refusing(monkeypatch)


def named(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def serves(pools: PoolFixture, pool: WorkerPool[FakeTask, object]) -> bool:
    pools.fence(pool)
    return True


def test_pool_that_cannot_grow_takes_what_it_gets_and_the_rest_later(
    refusing: Refusing, pools: PoolFixture, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools.pool(2, name="growing")
    refusing.left = 3
    pool.resize(10)
    assert (pool.size, serves(pools, pool)) == (5, True)
    pool.resize(4)
    wait_until(lambda: named("growing-") == 5, "4 threads and the monitor")
    pool.resize(10)
    assert (pool.size, serves(pools, pool)) == (4, True)
    refusing.left = 1000
    wait_until(lambda: pool.size == 10, "the missing ones were started, without any event")
    assert (named("growing-"), serves(pools, pool)) == (11, True)
    caplog.clear()


@pytest.mark.parametrize("left", range(5))
def test_pool_that_is_refused_a_thread_at_first_leaves_nothing(
    refusing: Refusing, poller: Poller, left: int
) -> None:
    """Four workers and the monitor."""
    refusing.left = left
    with pytest.raises(ThreadRefused, match="no thread for refused-"):
        WorkerPool(poller, 4, name="refused")
    assert named("refused-") == 0
    refusing.left = 1000
    # The waker is closed and forgotten.
    assert WorkerPool(poller, 4, name="refused").stop()


def test_pool_whose_poller_takes_no_waker_leaves_no_descriptor(
    poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach(waker: BouncingWaker, _poller: Poller) -> int:
        wakers.append(waker)
        raise OSError(errno.ENOSPC, "the limit of watches is reached")

    wakers: list[BouncingWaker] = []
    monkeypatch.setattr(BouncingWaker, "attach", attach)
    with pytest.raises(OSError, match="limit of watches"):
        WorkerPool(poller, 1)
    with pytest.raises(ValueError, match="closed"):
        wakers[0].fileno()


def test_thread_whose_queue_was_closed_is_not_counted(
    poller: Poller, caplog: pytest.LogCaptureFixture
) -> None:
    pool: WorkerPool[FakeTask, None] = WorkerPool(poller, 2, spare=0, name="closed")
    pool._monitor.end()
    pool._loop.waker.wake()
    pool._monitor.join()
    # As if nothing held it.
    poller.release()
    poller.close()
    pool._crew.change_running(2)
    wait_until(lambda: pool.size == 0, "both threads have ended")
    pool._loop.waker.close()
    assert {record.levelno for record in caplog.records} == {logging.CRITICAL}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("first", [1, 2, 4])
@pytest.mark.parametrize("row", [1, 3])
def test_shortage_of_memory_that_passes_leaves_nothing_behind(
    poller: Poller, caplog: pytest.LogCaptureFixture, point: str, first: int, row: int
) -> None:
    shortage = Shortage(point, first, row)
    closed, kept = try_out(poller, shortage)
    assert closed + kept <= 4
    assert shortage.refusals or first > 1
    assert all(record.levelno == logging.ERROR for record in caplog.records)


def test_step_now_whose_act_fails_loses_no_task(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.added(pool, lambda _: Next.READ)

    def fail(_: FakeTask) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        pool.step_now(lambda _: True, fail)
    task.wait_for_steps(1)
    wait_until(lambda: pool.waiting_tasks() == [task], "it waits again")
