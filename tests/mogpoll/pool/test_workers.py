"""A worker steps ready tasks as their only owner, and does what the step returns."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import AlreadyRegistered, BadDescriptor, Interest, Next, NotPollable, WorkerPool
from tests.mogpoll.pool.tasks import Blocker, FakeTask
from tests.support.sockets import drain, fill
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Poller
    from tests.mogpoll.pool.tasks import PoolFixture

PATIENT = (Next.READ, Next.WRITE, Next.READ_WRITE, Next.AGAIN, Next.PARKED)


def first(verdict: Next) -> Callable[[FakeTask], Next]:
    """A step that returns `verdict` once, and PARKED the second time."""
    return lambda task: Next.PARKED if task.steps else verdict


def test_task_is_stepped_when_it_is_readable(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.added(pool)
    pools.fence(pool)
    assert task.steps == 0
    task.ping()
    task.wait_for_steps(1)


def test_task_may_be_added_for_writing(pools: PoolFixture) -> None:
    task = pools.added(pools.pool(2), first(Next.PARKED), Interest.WRITE)
    task.wait_for_steps(1)


@pytest.mark.parametrize("verdict", PATIENT)
@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "full"])
def test_verdict_says_when_the_next_step_comes(
    pools: PoolFixture, verdict: Next, readable: bool, writable: bool
) -> None:
    pool = pools.pool(1)
    task = pools.task()

    def act(_: FakeTask) -> Next:
        if task.steps:
            return Next.PARKED
        if not readable:
            drain(task.near)
        if not writable:
            fill(task.near)
        return verdict

    task.act = act
    task.ping()
    pool.add(task)
    task.wait_for_steps(1)
    for _ in range(2):
        pools.fence(pool)
    follows_reading = verdict in (Next.READ, Next.READ_WRITE)
    follows_writing = verdict in (Next.WRITE, Next.READ_WRITE, Next.AGAIN)
    is_next = (readable and follows_reading) or (writable and follows_writing)
    assert task.steps == 1 + is_next


def test_closed_task_is_forgotten_and_closed_once(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.added(pool, lambda _: Next.CLOSE)
    number = task.fileno()
    task.ping()
    task.wait_for_close()
    reader, writer = os.pipe()
    assert number in (reader, writer)
    pools.poller.add(number, Interest.READ)
    pools.poller.forget(number)
    os.close(reader)
    os.close(writer)
    assert task.closes == 1


def test_task_that_goes_on_lets_others_have_their_turn(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    turns: list[str] = []

    def take_turns(name: str) -> Callable[[FakeTask], Next]:
        def act(task: FakeTask) -> Next:
            turns.append(name)
            return Next.AGAIN if task.steps < 9 else Next.PARKED

        return act

    blocker = Blocker()
    pools.added(pool, blocker).ping()
    blocker.wait_for(1)
    both = [pools.added(pool, take_turns(name), Interest.WRITE) for name in "ab"]
    blocker.go_on.set()
    for task in both:
        task.wait_for_steps(10)
    assert turns == ["a", "b"] * 10


@pytest.mark.usefixtures("restless")
def test_n10_ten_thousand_steps_have_one_thread_each(pools: PoolFixture) -> None:
    pool = pools.pool(8, spare=8)
    verdicts = itertools.cycle([Next.READ, Next.WRITE, Next.READ_WRITE, Next.AGAIN])

    def act(task: FakeTask) -> Next:
        return next(verdicts) if task.steps < 499 else Next.CLOSE

    tasks = [pools.task(act) for _ in range(20)]
    for task in tasks:
        task.ping()
        pool.add(task)
    for task in tasks:
        task.wait_for_close()
    assert [task.steps for task in tasks] == [500] * 20


def test_workspace_belongs_to_one_thread(poller: Poller, pools: PoolFixture) -> None:
    made: list[int] = []

    def workspace() -> int:
        made.append(threading.get_ident())
        return threading.get_ident()

    used: set[tuple[object, int]] = set()

    def act(task: FakeTask) -> Next:
        used.add((task.workspaces[-1], threading.get_ident()))
        return Next.AGAIN if task.steps < 100 else Next.CLOSE

    pool: WorkerPool[FakeTask, int] = WorkerPool(poller, 4, spare=4, workspace=workspace)
    tasks = [pools.task(act) for _ in range(8)]
    for task in tasks:
        pool.add(task, Interest.WRITE)
    for task in tasks:
        task.wait_for_close()
    assert pool.stop()
    assert all(given == ident for given, ident in used)
    assert len(made) == len(set(made)) == 4


def test_n25_workers_leave_signals_to_the_main_thread(pools: PoolFixture) -> None:
    masks: list[set[int]] = []

    def act(_: FakeTask) -> Next:
        masks.append({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])})
        return Next.CLOSE

    task = pools.added(pools.pool(1), act, Interest.WRITE)
    task.wait_for_close()
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD} <= masks[0]
    assert signal.SIGSEGV not in masks[0]


def test_waiting_tasks_are_those_not_being_stepped(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    blocker = Blocker()
    waiting = pools.added(pool)
    stepped = pools.added(pool, blocker)
    stepped.ping()
    blocker.wait_for(1)
    assert pool.waiting_tasks() == [waiting]
    blocker.go_on.set()
    wait_until(lambda: set(pool.waiting_tasks()) == {waiting, stepped}, "both wait")


@pytest.mark.parametrize("threads", [0, -1])
def test_pool_without_threads_cannot_be(poller: Poller, threads: int) -> None:
    with pytest.raises(ValueError, match="threads"):
        WorkerPool(poller, threads)


# Refused tasks


def test_refused_task_stays_with_the_caller(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    task = pools.task()
    number = task.near.detach()
    os.close(number)
    task.fileno = lambda: number  # type: ignore[method-assign]
    with pytest.raises(BadDescriptor):
        pool.add(task)
    assert (pool.waiting_tasks(), task.closes) == ([], 0)


def test_n08_file_is_refused(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    task = pools.task()
    with open(__file__, "rb") as file:
        task.fileno = file.fileno  # type: ignore[method-assign]
        with pytest.raises(NotPollable):
            pool.add(task)
    assert pool.waiting_tasks() == []


def test_task_with_the_number_of_another_is_refused_and_harms_no_other(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    owner, intruder = pools.added(pool), pools.task()
    intruder.fileno = owner.fileno  # type: ignore[method-assign]
    with pytest.raises(AlreadyRegistered):
        pool.add(intruder)
    owner.ping()
    owner.wait_for_steps(1)
    assert intruder.steps == 0


# Failing tasks


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return the levels logged, and clear the log."""
    found = [record.levelno for record in caplog.records if record.name == "mogpoll"]
    caplog.clear()
    return found


def fail(_: FakeTask) -> Next:
    raise RuntimeError("a step that fails")


@pytest.mark.parametrize(
    "act", [fail, lambda _: None, lambda _: 17], ids=["raises", "none", "rubbish"]
)
def test_step_that_fails_costs_its_own_task_only(
    pools: PoolFixture, caplog: pytest.LogCaptureFixture, act: Callable[[FakeTask], Next]
) -> None:
    pool = pools.pool(1)
    failing, other = pools.added(pool, act), pools.added(pool)
    failing.ping()
    failing.wait_for_close()
    other.ping()
    other.wait_for_steps(1)
    assert (failing.closes, levels(caplog)) == (1, [logging.ERROR])


def test_n31_close_that_fails_is_not_repeated(
    pools: PoolFixture, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pools.pool(1)
    task = pools.added(pool, lambda _: Next.CLOSE)
    closes: list[int] = []

    def close() -> None:
        closes.append(task.fileno())
        raise OSError(errno.ECONNRESET, "reset while closing")

    task.close = close  # type: ignore[method-assign]
    task.ping()
    task.wait_for_steps(1)
    pools.fence(pool)
    assert pools.stop(pool)
    assert (len(closes), levels(caplog)) == (1, [logging.ERROR])


def test_task_that_cannot_be_rearmed_is_closed(
    pools: PoolFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """Its step has closed the descriptor, which it must not."""
    pool = pools.pool(1)
    task = pools.task()
    number = task.fileno()
    task.fileno = lambda: number  # type: ignore[method-assign]

    def act(_: FakeTask) -> Next:
        task.near.close()
        return Next.READ

    task.act = act
    pool.add(task)
    task.ping()
    task.wait_for_close()
    pools.fence(pool)
    assert (task.closes, pool.waiting_tasks()) == (1, [])
    assert levels(caplog) == [logging.ERROR]
