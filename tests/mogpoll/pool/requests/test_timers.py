"""Deadlines of tasks, and calls that a pool makes later."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import Next, PoolStopped, Reason
from mogpoll.pool import timers
from tests.mogpoll.pool.tasks import LIMIT_S, Blocker, FakeTask, PoolFixture
from tests.support.sockets import drain
from tests.support.threads import Running, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import WorkerPool

HOUR_S = 3600.0


class Limited:
    """A step that notes why and when it was called, and sets a deadline for what comes next."""

    def __init__(self, pool: WorkerPool[FakeTask, object], *limits: float | None) -> None:
        self._pool = pool
        self._limits = iter(limits)
        self.then = Next.READ
        self.reasons: list[Reason] = []
        self.times: list[float] = []

    def __call__(self, task: FakeTask) -> Next:
        self.times.append(time.monotonic())
        self.reasons.append(self._pool.reason)
        drain(task.near)
        for limit in self._limits:
            self._pool.set_deadline(task, limit)
            break
        return self.then


@pytest.mark.parametrize("then", [Next.READ, Next.WRITE, Next.NOTIFIED])
def test_silent_task_is_stepped_at_its_deadline(pools: PoolFixture, then: Next) -> None:
    pool = pools.pool(1)
    act = Limited(pool, 0.05)
    task = pools.added(pool, act)
    act.then = Next.READ if then is Next.WRITE else then
    task.ping()
    task.wait_for_steps(2)
    assert act.reasons == [Reason.READY, Reason.DEADLINE]
    assert act.times[1] - act.times[0] >= 0.05
    assert pool.statistics().deadlines == 0


def test_deadline_of_the_first_wait(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    act = Limited(pool)
    task = pools.task(act)
    pool.add(task, deadline_s=0.01)
    task.wait_for_steps(1)
    assert act.reasons == [Reason.DEADLINE]


@pytest.mark.parametrize("by", ["readiness", "notify", "sweep"])
def test_step_ends_the_deadline(pools: PoolFixture, by: str) -> None:
    """Then it has none, unless its step sets one."""
    pool = pools.pool(1)
    act = Limited(pool, 0.2)
    task = pools.added(pool, act)
    task.ping()
    task.wait_for_steps(1)
    wait_until(lambda: pool.waiting_tasks() == [task], "it waits")
    assert pool.statistics().deadlines == 1
    if by == "readiness":
        task.ping()
    elif by == "notify":
        pool.notify(task)
    else:
        pool.step_now(lambda _: True)
    task.wait_for_steps(2)
    assert pool.statistics().deadlines == 0
    # As much later as the deadline would be late at most.
    over = threading.Event()
    pool.call_later(0.3, over.set)
    assert over.wait(LIMIT_S)
    assert act.reasons[1:] == [
        {"readiness": Reason.READY, "notify": Reason.NOTIFIED, "sweep": Reason.RESUMED}[by]
    ]


@pytest.mark.parametrize("none", [None, -1, float("inf")])
def test_deadline_is_taken_back(pools: PoolFixture, none: float | None) -> None:
    pool = pools.pool(1)

    def act(task: FakeTask) -> Next:
        pool.set_deadline(task, 0.01)
        pool.set_deadline(task, none)
        return Next.READ

    task = pools.added(pool, act)
    pool.notify(task)
    task.wait_for_steps(1)
    assert pool.statistics().deadlines == 0


def test_later_and_earlier_deadlines_replace_the_one_before(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    act = Limited(pool, HOUR_S, 0.02, HOUR_S, 0.02)
    task = pools.added(pool, act)
    for count in (1, 2):
        task.ping()
        task.wait_for_steps(count)
    task.wait_for_steps(3)
    task.ping()
    task.wait_for_steps(5)
    assert act.reasons == [
        Reason.READY,
        Reason.READY,
        Reason.DEADLINE,
        Reason.READY,
        Reason.DEADLINE,
    ]


def test_deadline_that_passes_in_the_step_that_set_it_counts(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    blocker = Blocker()
    reasons: list[Reason] = []

    def act(task: FakeTask) -> Next:
        reasons.append(pool.reason)
        if len(reasons) > 1:
            return Next.READ
        pool.set_deadline(task, 0.001)
        return blocker(task)

    task = pools.added(pool, act)
    task.ping()
    blocker.wait_for(1)
    wait_until(lambda: len(pool._timers._heap) > 0, "it is tried again")
    time.sleep(0.01)
    blocker.go_on.set()
    task.wait_for_steps(2)
    assert reasons == [Reason.READY, Reason.DEADLINE]


def test_closed_task_has_no_deadline(pools: PoolFixture) -> None:
    pool = pools.pool(1)

    def act(task: FakeTask) -> Next:
        pool.set_deadline(task, HOUR_S)
        return Next.CLOSE

    task = pools.added(pool, act)
    task.ping()
    task.wait_for_close()
    pools.fence(pool)
    assert pool.statistics().deadlines == 0


def test_parked_task_is_not_stepped_at_its_deadline(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    act = Limited(pool, 0.01)
    act.then = Next.PARKED
    task = pools.added(pool, act)
    task.ping()
    task.wait_for_steps(1)
    passed = threading.Event()
    pool.call_later(0.1, passed.set)
    assert passed.wait(LIMIT_S)
    assert act.reasons == [Reason.READY]
    act.then = Next.READ
    pool.resume(task)
    task.wait_for_steps(2)
    pools.fence(pool)
    assert act.reasons == [Reason.READY, Reason.RESUMED]
    assert pool.statistics().deadlines == 0


def test_deadline_outlives_the_step_that_has_parked_the_task_before(pools: PoolFixture) -> None:
    """Another thread resumes it, and a worker steps it, before that step returns."""
    pool = pools.pool(4, spare=2)
    has_parked, is_stepped = threading.Event(), threading.Event()
    reasons: list[Reason] = []

    class Task:
        """Two threads are in its steps at once, as parking allows."""

        def __init__(self) -> None:
            self.fileno, self.step, self.close = inner.fileno, self._step, inner.close

        def _step(self, _: object) -> Next:
            reasons.append(pool.reason)
            if len(reasons) == 1:
                drain(inner.near)
                has_parked.set()
                assert is_stepped.wait(LIMIT_S)
                return Next.PARKED
            if len(reasons) == 2:
                pool.set_deadline(task, 0.2)
                is_stepped.set()
                return Next.READ
            return Next.CLOSE

    inner = pools.task()
    task: Any = Task()
    pool.add(task)
    inner.ping()
    assert has_parked.wait(LIMIT_S)
    pool.resume(task)
    inner.wait_for_close()
    assert reasons == [Reason.READY, Reason.RESUMED, Reason.DEADLINE]


def test_calls_are_made_in_the_order_of_their_time(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    calls: list[tuple[float, float]] = []

    def note(after: float) -> None:
        calls.append((after, time.monotonic()))

    made = {after: pool.call_later(after, partial(note, after)) for after in (0.2, 0.1, 0.0, 0.15)}
    wait_until(lambda: len(calls) == 4, "all were made")
    assert [after for after, _ in calls] == sorted(made, key=lambda after: made[after].at)
    assert all(at >= made[after].at for after, at in calls)


def test_cancelled_call_is_not_made(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    calls: list[str] = []
    first = pool.call_later(HOUR_S, lambda: calls.append("first"))
    assert "in 3" in repr(first)
    assert first.cancel()
    assert not first.cancel()
    second = pool.call_later(0.01, lambda: calls.append("second"))
    wait_until(lambda: calls != [], "the second was made")
    assert calls == ["second"]
    assert not second.cancel()
    assert repr(second) == "<DelayedCall, over>"
    assert pool.statistics().timers == 0


def test_call_that_fails_is_logged_and_costs_no_worker(
    pools: PoolFixture, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools.pool(1)
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("no luck")

    pool.call_later(0, fail)
    pool.call_later(0.01, done.set)
    assert done.wait(LIMIT_S)
    (record,) = caplog.records
    assert "fail" in record.getMessage()
    caplog.clear()


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_call_at_no_time_is_refused(pools: PoolFixture, seconds: float) -> None:
    pool = pools.pool(1)
    with pytest.raises(ValueError, match="seconds"):
        pool.call_later(seconds, lambda: None)
    task = pools.task()
    with pytest.raises(ValueError, match="not a number"):
        pool.add(task, deadline_s=float("nan"))
    assert not pool.notify(task)


def test_stop_drops_what_is_to_come(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    calls: list[int] = []
    pool.call_later(HOUR_S, lambda: calls.append(1))
    task = pools.added(pool)
    pools.stop(pool)
    assert (task.closes, calls) == (1, [])
    with pytest.raises(PoolStopped):
        pool.call_later(0, lambda: None)


def test_call_that_no_worker_has_made_before_the_stop_is_over(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    blocker = Blocker()
    pools.added(pool, blocker).ping()
    blocker.wait_for(1)
    calls: list[int] = []
    timer = pool.call_later(0, lambda: calls.append(1))
    wait_until(lambda: pool.statistics().queued == 1, "it is queued")
    stopping = Running(lambda: pools.stop(pool))
    wait_until(lambda: pool._crew.stopping, "the pool is being stopped")
    blocker.go_on.set()
    assert stopping.result()
    assert (calls, timer.cancel(), repr(timer)) == ([], False, "<DelayedCall, over>")


def test_thread_sleeps_while_nothing_is_due(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    pool.call_later(HOUR_S, lambda: None)
    waits: list[float | None] = []
    genuine = pool._timers._news.wait

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return genuine(timeout)

    pool._timers._news.wait = wait  # type: ignore[method-assign]
    pool.call_later(HOUR_S / 2, lambda: None)
    wait_until(lambda: waits != [], "it sleeps until the new one")
    assert all(wait_s is not None and wait_s > HOUR_S / 3 for wait_s in waits)
    # It may not have slept before.
    assert len(waits) <= 2


def test_heap_keeps_nothing_of_tasks_that_have_gone(
    pools: PoolFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "_MIN_GARBAGE", 8)
    pool = pools.pool(1)

    def act(task: FakeTask) -> Next:
        pool.set_deadline(task, HOUR_S)
        return Next.CLOSE

    for _ in range(100):
        task = pools.added(pool, act)
        task.ping()
        task.wait_for_close()
        task.far.close()
        pool.call_later(HOUR_S, lambda: None).cancel()
    assert len(pool._timers._heap) <= 12
    assert len(pool._timers._entries) <= 12


TASKS = 30


@pytest.mark.usefixtures("restless")
def test_deadlines_beside_readiness_and_notifications(pools: PoolFixture) -> None:
    """Each task has a deadline all the time, so it goes on for ever; none comes too early."""
    pool = pools.pool(4, spare=4)
    chance = random.Random(7)
    faults: list[str] = []
    due: dict[FakeTask, float] = {}

    def act(task: FakeTask) -> Next:
        now = time.monotonic()
        if pool.reason is Reason.DEADLINE and now < due[task]:
            faults.append("too early")
        drain(task.near)
        limit = chance.choice([0.0, 0.001, 0.005, 0.02])
        due[task] = now + limit
        pool.set_deadline(task, limit)
        return chance.choice([Next.READ, Next.NOTIFIED])

    tasks = [pools.task(act) for _ in range(TASKS)]
    for task in tasks:
        due[task] = 0.0
        pool.add(task, deadline_s=0.0)

    def disturb(seed: int) -> None:
        random_ = random.Random(seed)
        for _ in range(200):
            task = random_.choice(tasks)
            if random_.random() < 0.5:
                pool.notify(task)
            else:
                task.ping()

    run_all([partial(disturb, seed) for seed in range(4)])
    before = {task: task.steps for task in tasks}
    wait_until(
        lambda: all(task.steps >= before[task] + 3 for task in tasks), "all deadlines come again"
    )
    for task in tasks:
        pool.close(task)
    for task in tasks:
        task.wait_for_close()
    assert faults == []
    assert pool._table.deadlines == {}
