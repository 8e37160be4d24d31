"""Tasks that are parked and resumed, and tasks stepped without an event."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import Interest, Next
from tests.mogpoll.pool.tasks import Blocker, FakeTask, Ownership
from tests.support.sockets import drain
from tests.support.threads import Running, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import Poller, WorkerPool
    from tests.mogpoll.pool.tasks import PoolFixture


def test_parked_task_is_left_alone(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    task = pools.parked(pool)
    task.ping()
    pools.fence(pool)
    assert (task.steps, pool.waiting_tasks()) == (1, [])


def test_resumed_task_is_stepped_though_it_is_not_ready(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.parked(pool)
    drain(task.near)
    pool.resume(task)
    task.wait_for_steps(2)
    task.ping()
    task.wait_for_steps(3)


def test_resumed_task_may_close(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.parked(pool, Next.CLOSE)
    pool.resume(task)
    task.wait_for_close()
    assert task.closes == 1


def test_task_may_park_and_be_resumed_again_and_again(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=4)
    task = pools.parked(pool, Next.PARKED)
    for count in range(2, 300):
        pool.resume(task)
        task.wait_for_steps(count)


def test_task_resumed_by_a_step_runs_next_in_the_same_thread(
    pools: PoolFixture,
) -> None:
    pool = pools.pool(4, spare=4)
    threads: list[int] = []

    def note(task: FakeTask) -> Next:
        if task.steps:
            threads.append(threading.get_ident())
        return Next.PARKED

    parked = pools.added(pool, note)
    parked.ping()
    parked.wait_for_steps(1)

    def resume(_: FakeTask) -> Next:
        threads.append(threading.get_ident())
        pool.resume(parked)
        return Next.CLOSE

    pools.added(pool, resume, Interest.WRITE)
    parked.wait_for_steps(2)
    assert len(threads) == 2
    assert len(set(threads)) == 1


def test_task_resumed_before_its_step_has_returned_is_stepped_after_it(pools: PoolFixture) -> None:
    """A step hands its task over and returns PARKED; the other thread may be faster."""
    pool = pools.pool(4, spare=4)
    rounds = 200
    again = threading.Semaphore(0)
    over = threading.Event()

    def act(task: FakeTask) -> Next:
        if task.steps == rounds:
            over.set()
        return Next.PARKED

    task = pools.added(pool, act, Interest.WRITE)
    task.wait_for_steps(1)

    def resume() -> None:
        for count in range(1, rounds + 1):
            task.wait_for_steps(count)
            pool.resume(task)
            again.release()

    run_all([resume])
    assert over.wait(20)


def test_every_one_of_many_resumed_tasks_is_stepped_once(pools: PoolFixture) -> None:
    pool = pools.pool(8, spare=4)
    tasks = [pools.parked(pool, Next.PARKED) for _ in range(100)]

    def resume(some: list[FakeTask]) -> None:
        for task in some:
            pool.resume(task)

    run_all([lambda part=tasks[at::4]: resume(part) for at in range(4)])  # type: ignore[misc]
    for task in tasks:
        task.wait_for_steps(2)
    pools.fence(pool)
    assert {task.steps for task in tasks} == {2}


class Meeting:
    """Two resumed tasks, each of which waits for the other."""

    def __init__(self, pools: PoolFixture, pool: WorkerPool[FakeTask, object]) -> None:
        self.barrier = threading.Barrier(2)
        self.both = [pools.added(pool, self._act) for _ in range(2)]
        for task in self.both:
            task.ping()
            task.wait_for_steps(1)

    def _act(self, task: FakeTask) -> Next:
        if task.steps:
            self.barrier.wait(20)
        return Next.PARKED

    def wait(self) -> None:
        for task in self.both:
            task.wait_for_steps(2)
        assert not self.barrier.broken


@pytest.mark.parametrize("spare", [1, 4])
def test_resumed_task_does_not_wait_behind_one_that_blocks(pools: PoolFixture, spare: int) -> None:
    pool = pools.pool(4, spare=spare)
    for _ in range(10):
        meeting = Meeting(pools, pool)
        for task in meeting.both:
            pool.resume(task)
        meeting.wait()


@pytest.mark.parametrize("spare", [1, 4])
def test_tasks_resumed_by_one_step_run_in_parallel(pools: PoolFixture, spare: int) -> None:
    pool = pools.pool(4, spare=spare)
    for _ in range(10):
        meeting = Meeting(pools, pool)

        def resume_both(_: FakeTask, both: list[FakeTask] = meeting.both) -> Next:
            for task in both:
                pool.resume(task)
            return Next.CLOSE

        pools.added(pool, resume_both, Interest.WRITE)
        meeting.wait()


def test_task_resumed_by_a_worker_that_should_stand_by_is_stepped(pools: PoolFixture) -> None:
    pool = pools.pool(2, spare=2)
    parked = pools.parked(pool)

    def resume(_: FakeTask) -> Next:
        pool.resume(parked)
        # As the monitor does to park a thread.
        pool._crew.change_running(-1)
        return Next.CLOSE

    pools.added(pool, resume, Interest.WRITE)
    parked.wait_for_steps(2)


def test_task_resumed_by_a_worker_that_should_end_is_stepped(pools: PoolFixture) -> None:
    pool = pools.pool(2, spare=2)
    parked = pools.parked(pool)
    blockers = [Blocker(), Blocker()]

    def resume_and_block(task: FakeTask) -> Next:
        pool.resume(parked)
        return blockers[0](task)

    pools.added(pool, resume_and_block).ping()
    pools.added(pool, blockers[1]).ping()
    for blocker in blockers:
        blocker.wait_for(1)
    pool.resize(1)
    blockers[0].go_on.set()
    parked.wait_for_steps(2)
    blockers[1].go_on.set()


def test_resume_by_a_thread_with_the_identity_of_one_that_ended(pools: PoolFixture) -> None:
    """The system reuses thread identities, as it does descriptor numbers."""
    pool = pools.pool(8, spare=8)
    idents: set[int] = set()
    together = threading.Barrier(8)

    def meet(task: FakeTask) -> Next:
        if not task.steps:
            idents.add(threading.get_ident())
            together.wait(20)
        return Next.PARKED

    for task in [pools.added(pool, meet, Interest.WRITE) for _ in range(8)]:
        task.wait_for_steps(1)
    task = pools.parked(pool)
    pool.resize(1)
    wait_until(
        lambda: sum(thread.name.startswith("worker-") for thread in threading.enumerate()) <= 2,
        "one worker and the monitor are left",
    )
    ended = idents - {thread.ident for thread in threading.enumerate()}
    go_on, resumed = threading.Event(), threading.Lock()

    def resume() -> bool:
        """Resume unless done; stay alive, so that the next thread has another identity."""
        chosen = threading.get_ident() in ended and resumed.acquire(blocking=False)
        if chosen:
            pool.resume(task)
        assert go_on.wait(20)
        return chosen

    outsiders = [Running(resume) for _ in range(20)]
    go_on.set()
    if not sum(outsider.result() for outsider in outsiders):
        pytest.skip("this system gave no identity out again")
    task.wait_for_steps(2)


# step_now


def test_step_now_steps_what_is_not_ready(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    tasks = [pools.added(pool) for _ in range(5)]
    assert pool.step_now(lambda _: True) == 5
    for task in tasks:
        task.wait_for_steps(1)


def test_step_now_steps_only_the_chosen(pools: PoolFixture) -> None:
    pool = pools.pool(1)
    chosen, other = pools.added(pool), pools.added(pool)
    assert pool.step_now(lambda task: task is chosen) == 1
    chosen.wait_for_steps(1)
    pools.fence(pool)
    assert other.steps == 0


def test_task_stepped_now_is_stepped_by_events_afterwards(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    task = pools.added(pool)
    for count in range(1, 50):
        # The step may not have armed it again yet.
        wait_until(lambda: pool.step_now(lambda _: True), "it is stepped")
        task.wait_for_steps(2 * count - 1)
        task.ping()
        task.wait_for_steps(2 * count)


def test_step_now_acts_as_the_owner_before_the_step(pools: PoolFixture) -> None:
    pool = pools.pool(4, spare=4)
    order: list[str] = []

    def step(_: FakeTask) -> Next:
        order.append("step")
        return Next.READ

    def act(task: FakeTask) -> None:
        with Ownership(task):
            order.append("act")

    task = pools.added(pool, step)
    assert pool.step_now(lambda _: True, act) == 1
    task.wait_for_steps(1)
    assert order[:2] == ["act", "step"]


def test_step_now_leaves_tasks_in_a_step_and_parked_ones_alone(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    parked = pools.parked(pool)
    blocker = Blocker()
    stepped = pools.added(pool, blocker)
    stepped.ping()
    blocker.wait_for(1)
    assert pool.step_now(lambda _: True) == 0
    blocker.go_on.set()
    pools.fence(pool)
    assert (parked.steps, stepped.steps) == (1, 1)


@pytest.mark.usefixtures("restless")
def test_step_now_during_steps_and_closes_make_no_second_owner(pools: PoolFixture) -> None:
    pool = pools.pool(6, spare=6)
    over = threading.Event()
    acts: list[int] = []

    def act(task: FakeTask) -> None:
        with Ownership(task):
            acts.append(1)

    def claim() -> None:
        while not over.is_set():
            pool.step_now(lambda _: True, act)

    def step(task: FakeTask) -> Next:
        drain(task.near)
        if task.steps >= 30:
            return Next.CLOSE
        return (Next.READ, Next.WRITE, Next.READ_WRITE)[task.steps % 3]

    def live() -> None:
        for _ in range(60):
            task = pools.added(pool, step)
            # step_now alone may have closed it by now.
            with contextlib.suppress(BrokenPipeError):
                task.ping()
            task.wait_for_close()
            task.release()

    def live_all() -> None:
        try:
            run_all([live] * 4)
        finally:
            over.set()

    run_all([claim, claim, live_all])
    assert acts


class SlowToReturn:
    """A poller whose first rearm is done but does not return yet."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.go_on = threading.Event()

    def rearm(self, fd: int, interest: Interest) -> None:
        self._poller.rearm(fd, interest)
        assert self.go_on.wait(20)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def test_n10_task_is_not_stepped_before_the_call_that_armed_it_has_returned(
    pools: PoolFixture, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next owner could close it, and the late call would hit the next file of that number."""
    slow: Any = SlowToReturn(poller)
    pools.poller = slow
    pool = pools.pool(2, spare=2)
    awaited = threading.Event()
    sleep = time.sleep

    def note(seconds: float) -> None:
        # Only a thread that waits for an arming calls sleep(0).
        if not seconds:
            awaited.set()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    task = pools.added(pool)
    task.ping()
    task.wait_for_steps(1)
    task.ping()
    wait_until(lambda: awaited.is_set() or task.steps > 1, "a sleeper has the event")
    steps = task.steps
    slow.go_on.set()
    task.wait_for_steps(2)
    assert steps == 1
