"""Tasks that are notified or closed by other threads: no step is lost, and none is doubled."""

from __future__ import annotations

import random
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mogpoll import Interest, Next, Reason, WorkerPool
from tests.mogpoll.pool.tasks import Blocker, FakeTask, PoolFixture
from tests.support.threads import run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.mogpoll.backends import Backend


class Inbox:
    """A step that takes what others have put, and waits for nothing but `notify`."""

    def __init__(self, then: Next = Next.READ) -> None:
        self.sent = self.taken = 0
        self._then = then

    def __call__(self, _: FakeTask) -> Next:
        self.taken = self.sent
        return self._then


WAITS = [Next.READ, Next.NOTIFIED]


@pytest.mark.parametrize("wait", WAITS)
def test_waiting_task_is_stepped(pools: PoolFixture, wait: Next) -> None:
    pool = pools.pool(2)
    reasons: list[Reason] = []

    def act(_: FakeTask) -> Next:
        reasons.append(pool.reason)
        return wait

    task = pools.added(pool, act)
    for count in (1, 2, 3):
        wait_until(lambda: pool.waiting_tasks() == [task], "it waits")
        assert pool.notify(task)
        task.wait_for_steps(count)
    assert reasons == [Reason.NOTIFIED] * 3


def test_task_that_is_being_stepped_is_stepped_once_more(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    blocker = Blocker()
    task = pools.added(pool, lambda task: blocker(task) if not task.steps else Next.READ)
    task.ping()
    blocker.wait_for(1)
    assert [pool.notify(task) for _ in range(5)] == [True] * 5
    assert task.steps == 0
    blocker.go_on.set()
    task.wait_for_steps(2)
    pools.fence(pool)
    assert task.steps == 2


def test_step_that_blocks_does_not_hold_the_task_that_it_has_notified(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=2)
    other = pools.added(pool, lambda _: Next.NOTIFIED)
    blocker = Blocker()

    def act(task: FakeTask) -> Next:
        pool.notify(other)
        return blocker(task)

    pools.added(pool, act).ping()
    other.wait_for_steps(1)
    blocker.go_on.set()


def test_step_that_notifies_its_own_task_is_followed_by_one(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    answers: list[bool] = []

    def act(task: FakeTask) -> Next:
        if len(answers) < 3:
            answers.append(pool.notify(task))
        return Next.READ

    task = pools.added(pool, act)
    assert pool.notify(task)
    task.wait_for_steps(4)
    pools.fence(pool)
    assert (task.steps, answers) == (4, [True] * 3)


def test_queued_task_is_stepped_once(pools: PoolFixture) -> None:
    """While the only worker is busy, others may call as often as they like."""
    pool = pools.pool(1)
    blocker = Blocker()
    busy = pools.added(pool, blocker)
    task = pools.added(pool, lambda _: Next.READ)
    busy.ping()
    blocker.wait_for(1)
    assert [pool.notify(task) for _ in range(5)] == [True] * 5
    blocker.go_on.set()
    task.wait_for_steps(1)
    pools.fence(pool)
    assert task.steps == 1


def test_parked_task_is_left_to_its_owner(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.parked(pool, Next.NOTIFIED)
    assert pool.notify(task)
    pools.fence(pool)
    assert task.steps == 1
    pool.resume(task)
    task.wait_for_steps(2)
    pools.fence(pool)
    assert task.steps == 2


def test_task_that_is_not_in_the_pool_is_not_notified(
    pools: PoolFixture, backend: Backend
) -> None:
    pool = pools.pool(1)
    never_added, elsewhere = pools.task(), pools.task()
    closed = pools.added(pool, lambda _: Next.CLOSE)
    closed.ping()
    closed.wait_for_close()
    with backend.open() as poller, WorkerPool(poller, 1) as other:
        other.add(elsewhere)
        for task in (never_added, elsewhere, closed):
            assert not pool.notify(task)
            assert not pool.close(task)
    waiting = pools.added(pool)
    pools.stop(pool)
    assert not pool.notify(waiting)
    assert pool._table.marks == {}


def test_task_that_could_not_be_added_is_not_in_the_pool(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    task = pools.added(pool)
    other = pools.task()
    other.near.close()
    with pytest.raises(OSError, match="descriptor"):
        pool.add(other)
    assert not pool.notify(other)
    # Refused as well, and still a task of the pool.
    with pytest.raises(OSError, match="registered"):
        pool.add(task)
    assert pool.notify(task)
    task.wait_for_steps(1)


@pytest.mark.parametrize("wait", WAITS)
def test_waiting_task_is_closed(pools: PoolFixture, wait: Next) -> None:
    pool = pools.pool(2)
    task = pools.added(pool, lambda _: wait)
    pool.notify(task)
    task.wait_for_steps(1)
    assert pool.close(task)
    task.wait_for_close()
    assert task.steps == 1
    assert not pool.close(task)


def test_task_is_closed_after_the_step_that_runs(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    blocker = Blocker()
    task = pools.added(pool, blocker)
    task.ping()
    blocker.wait_for(1)
    assert pool.close(task)
    # It stays so.
    assert pool.notify(task)
    pools.fence(pool)
    assert task.closes == 0
    blocker.go_on.set()
    task.wait_for_close()
    assert task.steps == 1


def test_task_that_ends_with_a_mark_leaves_none(pools: PoolFixture) -> None:
    pool = pools.pool(1)

    def act(task: FakeTask) -> Next:
        pool.notify(task)
        return Next.CLOSE

    task = pools.added(pool, act)
    task.ping()
    task.wait_for_close()
    assert (pool._table.marks, pool._table.members) == ({}, {})


def test_parked_task_is_closed_when_it_is_resumed(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.parked(pool)
    assert pool.close(task)
    pools.fence(pool)
    assert task.closes == 0
    pool.resume(task)
    task.wait_for_close()
    assert task.steps == 1


def test_reason_is_of_the_step_that_runs(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    reasons: list[Reason] = []

    def act(task: FakeTask) -> Next:
        reasons.append(pool.reason)
        if reasons[-1] is Reason.READY:
            task.near.recv(10)
        return Next.READ if len(reasons) != 3 else Next.PARKED

    task = pools.added(pool, act)
    task.ping()
    task.wait_for_steps(1)
    pool.notify(task)
    task.wait_for_steps(2)
    task.ping()
    task.wait_for_steps(3)
    pool.resume(task)
    task.wait_for_steps(4)
    assert reasons == [Reason.READY, Reason.NOTIFIED, Reason.READY, Reason.RESUMED]
    with pytest.raises(RuntimeError, match="no step of <WorkerPool"):
        _ = pool.reason


NOTIFIERS, TURNS, ROUNDS, TASKS = 6, 15, 20, 4


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("wait", WAITS)
def test_no_notification_is_lost_beside_readiness(pools: PoolFixture, wait: Next) -> None:
    """What was sent before a call is taken in the end, without another call.

    Each round ends with a quiet pool: a call that is lost is not made good by the next.
    """
    pool = pools.pool(4, spare=4)
    boxes = [Inbox(wait) for _ in range(TASKS)]
    tasks = [pools.added(pool, box) for box in boxes]
    lock = threading.Lock()

    def send(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(TURNS):
            at = chance.randrange(TASKS)
            with lock:
                boxes[at].sent += 1
            assert pool.notify(tasks[at])
            if chance.random() < 0.3:
                tasks[at].far.send(b".")

    for round_ in range(ROUNDS):
        run_all([partial(send, NOTIFIERS * round_ + number) for number in range(NOTIFIERS)])
        wait_until(lambda: all(box.taken == box.sent for box in boxes), "all sent is taken")


@pytest.mark.usefixtures("restless")
def test_calls_beside_closes_and_new_tasks_leave_nothing(pools: PoolFixture) -> None:
    """Numbers of descriptors are used again at once, while late callers still look."""
    pool = pools.pool(4, spare=4)

    def live(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            task = pools.task(lambda _: Next.READ)
            shared.append(task)
            pool.add(task)
            other = chance.choice(shared[-8:])
            for _ in range(3):
                pool.notify(other)
            pool.close(task)
            pool.notify(task)
            task.wait_for_close()
            task.far.close()

    shared: list[FakeTask] = []
    run_all([partial(live, seed) for seed in range(6)])
    assert [task.closes for task in shared] == [1] * len(shared)
    wait_until(lambda: not pool.statistics().queued, "the queue is empty")
    assert (pool._table.members, pool._table.marks) == ({}, {})


def statistics_of(pool: WorkerPool[FakeTask, object]) -> dict[str, int]:
    found = pool.statistics()
    names = ("tasks", "armed", "parked", "queued", "timers")
    return {name: getattr(found, name) for name in names}


def test_statistics_count_tasks_and_threads(pools: PoolFixture) -> None:
    pool = pools.pool(5, spare=2)
    assert pool.statistics().parked == 0
    pools.parked(pool)
    waiting = pools.added(pool, interest=Interest.READ)
    timer = pool.call_later(3600, lambda: None)
    wait_until(lambda: pool.statistics().threads_waiting == 2, "two wait")
    found = pool.statistics()
    assert (found.threads, found.threads_parked, found.threads_busy) == (5, 3, 0)
    assert statistics_of(pool) == {"tasks": 2, "armed": 1, "parked": 1, "queued": 0, "timers": 1}
    assert found.steps == 1
    timer.cancel()
    blocker = Blocker()
    waiting.act = blocker
    waiting.ping()
    blocker.wait_for(1)
    assert pool.statistics().threads_busy == 1
    blocker.go_on.set()
    waiting.wait_for_steps(1)
    pool.resize(1)
    wait_until(lambda: pool.statistics().threads == 1, "four have ended")
    assert pool.statistics().steps == 2
    assert pool.statistics().timers == 0
