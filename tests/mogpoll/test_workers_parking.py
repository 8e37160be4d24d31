"""Tasks that are parked and resumed, and tasks that are stepped although nothing happened."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import Interest, Next
from tests.mogpoll.tasks import Blocker, Errand, Ownership
from tests.support.sockets import drain
from tests.support.threads import Running, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mogpoll import Poller, WorkerPool
    from tests.mogpoll.tasks import Bench


def test_parked_task_is_left_alone(bench: Bench) -> None:
    pool = bench.pool(1)
    errand = bench.parked(pool)
    errand.ping()
    bench.fence(pool)
    assert (errand.steps, pool.waiting_tasks()) == (1, [])


def test_resumed_task_is_stepped_though_it_is_not_ready(bench: Bench) -> None:
    pool = bench.pool(2)
    errand = bench.parked(pool)
    drain(errand.near)
    pool.resume(errand)
    errand.wait_for_steps(2)
    errand.ping()
    errand.wait_for_steps(3)


def test_resumed_task_may_close(bench: Bench) -> None:
    pool = bench.pool(2)
    errand = bench.parked(pool, Next.CLOSE)
    pool.resume(errand)
    errand.wait_for_close()
    assert errand.closes == 1


def test_task_may_park_and_be_resumed_again_and_again(bench: Bench) -> None:
    pool = bench.pool(4, spare=4)
    errand = bench.parked(pool, Next.PARKED)
    for count in range(2, 300):
        pool.resume(errand)
        errand.wait_for_steps(count)


def test_step_that_resumes_another_is_followed_by_it_in_the_same_thread(bench: Bench) -> None:
    pool = bench.pool(4, spare=4)
    threads: list[int] = []

    def note(errand: Errand) -> Next:
        if errand.steps:
            threads.append(threading.get_ident())
        return Next.PARKED

    parked = bench.added(pool, note)
    parked.ping()
    parked.wait_for_steps(1)

    def resume(_: Errand) -> Next:
        threads.append(threading.get_ident())
        pool.resume(parked)
        return Next.CLOSE

    bench.added(pool, resume, Interest.WRITE)
    parked.wait_for_steps(2)
    assert len(threads) == 2
    assert len(set(threads)) == 1


def test_task_resumed_before_its_step_has_returned_is_stepped_after_it(bench: Bench) -> None:
    """A step passes its task on and returns PARKED; the other side may be faster."""
    pool = bench.pool(4, spare=4)
    rounds = 200
    again = threading.Semaphore(0)
    over = threading.Event()

    def act(errand: Errand) -> Next:
        if errand.steps == rounds:
            over.set()
        return Next.PARKED

    errand = bench.added(pool, act, Interest.WRITE)
    errand.wait_for_steps(1)

    def resume() -> None:
        for count in range(1, rounds + 1):
            errand.wait_for_steps(count)
            pool.resume(errand)
            again.release()

    run_all([resume])
    assert over.wait(20)


def test_every_one_of_many_resumed_tasks_is_stepped_once(bench: Bench) -> None:
    pool = bench.pool(8, spare=4)
    errands = [bench.parked(pool, Next.PARKED) for _ in range(100)]

    def resume(some: list[Errand]) -> None:
        for errand in some:
            pool.resume(errand)

    run_all([lambda part=errands[at::4]: resume(part) for at in range(4)])  # type: ignore[misc]
    for errand in errands:
        errand.wait_for_steps(2)
    bench.fence(pool)
    assert {errand.steps for errand in errands} == {2}


class Meeting:
    """Two resumed tasks, each of which goes on only once the other has come too."""

    def __init__(self, bench: Bench, pool: WorkerPool[Errand, object]) -> None:
        self.barrier = threading.Barrier(2)
        self.both = [bench.added(pool, self._act) for _ in range(2)]
        for errand in self.both:
            errand.ping()
            errand.wait_for_steps(1)

    def _act(self, errand: Errand) -> Next:
        if errand.steps:
            self.barrier.wait(20)
        return Next.PARKED

    def wait(self) -> None:
        for errand in self.both:
            errand.wait_for_steps(2)
        assert not self.barrier.broken


@pytest.mark.parametrize("spare", [1, 4])
def test_resumed_task_does_not_wait_behind_one_that_blocks(bench: Bench, spare: int) -> None:
    pool = bench.pool(4, spare=spare)
    for _ in range(10):
        meeting = Meeting(bench, pool)
        for errand in meeting.both:
            pool.resume(errand)
        meeting.wait()


@pytest.mark.parametrize("spare", [1, 4])
def test_tasks_that_one_step_resumed_do_not_wait_for_each_other(bench: Bench, spare: int) -> None:
    pool = bench.pool(4, spare=spare)
    for _ in range(10):
        meeting = Meeting(bench, pool)

        def resume_both(_: Errand, both: list[Errand] = meeting.both) -> Next:
            for errand in both:
                pool.resume(errand)
            return Next.CLOSE

        bench.added(pool, resume_both, Interest.WRITE)
        meeting.wait()


def test_task_resumed_by_a_worker_that_should_stand_by_is_stepped(bench: Bench) -> None:
    pool = bench.pool(2, spare=2)
    parked = bench.parked(pool)

    def resume(_: Errand) -> Next:
        pool.resume(parked)
        # As the monitor does when it finds that fewer threads would do.
        pool._adapt(-1)
        return Next.CLOSE

    bench.added(pool, resume, Interest.WRITE)
    parked.wait_for_steps(2)


def test_task_resumed_by_a_worker_that_should_end_is_stepped(bench: Bench) -> None:
    pool = bench.pool(2, spare=2)
    parked = bench.parked(pool)
    blockers = [Blocker(), Blocker()]

    def resume_and_block(errand: Errand) -> Next:
        pool.resume(parked)
        return blockers[0](errand)

    bench.added(pool, resume_and_block).ping()
    bench.added(pool, blockers[1]).ping()
    for blocker in blockers:
        blocker.wait_for(1)
    pool.resize(1)
    blockers[0].go_on.set()
    parked.wait_for_steps(2)
    blockers[1].go_on.set()


def test_resume_by_a_thread_with_the_identity_of_one_that_ended(bench: Bench) -> None:
    """The system gives identities out again, as it does with descriptor numbers."""
    pool = bench.pool(8, spare=8)
    idents: set[int] = set()
    together = threading.Barrier(8)

    def meet(errand: Errand) -> Next:
        if not errand.steps:
            idents.add(threading.get_ident())
            together.wait(20)
        return Next.PARKED

    for errand in [bench.added(pool, meet, Interest.WRITE) for _ in range(8)]:
        errand.wait_for_steps(1)
    errand = bench.parked(pool)
    pool.resize(1)
    wait_until(
        lambda: sum(thread.name.startswith("worker-") for thread in threading.enumerate()) <= 2,
        "one worker and the monitor are left",
    )
    ended = idents - {thread.ident for thread in threading.enumerate()}
    go_on, resumed = threading.Event(), threading.Lock()

    def resume() -> bool:
        """Resume if nobody has; stay alive, so that the next thread has another identity."""
        chosen = threading.get_ident() in ended and resumed.acquire(blocking=False)
        if chosen:
            pool.resume(errand)
        assert go_on.wait(20)
        return chosen

    outsiders = [Running(resume) for _ in range(20)]
    go_on.set()
    if not sum(outsider.result() for outsider in outsiders):
        pytest.skip("this system gave no identity out again")
    errand.wait_for_steps(2)


# Kicks


def test_kick_steps_what_is_not_ready(bench: Bench) -> None:
    pool = bench.pool(2)
    errands = [bench.added(pool) for _ in range(5)]
    assert pool.kick(lambda _: True) == 5
    for errand in errands:
        errand.wait_for_steps(1)


def test_kick_steps_only_the_chosen(bench: Bench) -> None:
    pool = bench.pool(1)
    chosen, other = bench.added(pool), bench.added(pool)
    assert pool.kick(lambda errand: errand is chosen) == 1
    chosen.wait_for_steps(1)
    bench.fence(pool)
    assert other.steps == 0


def test_kicked_task_is_stepped_by_events_afterwards(bench: Bench) -> None:
    pool = bench.pool(2)
    errand = bench.added(pool)
    for count in range(1, 50):
        pool.kick(lambda _: True)
        errand.wait_for_steps(2 * count - 1)
        errand.ping()
        errand.wait_for_steps(2 * count)


def test_kick_acts_as_the_owner_before_the_step(bench: Bench) -> None:
    pool = bench.pool(4, spare=4)
    order: list[str] = []

    def step(_: Errand) -> Next:
        order.append("step")
        return Next.READ

    def act(errand: Errand) -> None:
        with Ownership(errand):
            order.append("act")

    errand = bench.added(pool, step)
    assert pool.kick(lambda _: True, act) == 1
    errand.wait_for_steps(1)
    assert order[:2] == ["act", "step"]


def test_kick_leaves_tasks_in_a_step_and_parked_ones_alone(bench: Bench) -> None:
    pool = bench.pool(2)
    parked = bench.parked(pool)
    blocker = Blocker()
    stepped = bench.added(pool, blocker)
    stepped.ping()
    blocker.wait_for(1)
    assert pool.kick(lambda _: True) == 0
    blocker.go_on.set()
    bench.fence(pool)
    assert (parked.steps, stepped.steps) == (1, 1)


@pytest.mark.usefixtures("restless")
def test_kicks_during_steps_and_closes_make_no_second_owner(bench: Bench) -> None:
    pool = bench.pool(6, spare=6)
    over = threading.Event()
    acts: list[int] = []

    def act(errand: Errand) -> None:
        with Ownership(errand):
            acts.append(1)

    def kick() -> None:
        while not over.is_set():
            pool.kick(lambda _: True, act)

    def step(errand: Errand) -> Next:
        drain(errand.near)
        if errand.steps >= 30:
            return Next.CLOSE
        return (Next.READ, Next.WRITE, Next.READ_WRITE)[errand.steps % 3]

    def live() -> None:
        for _ in range(60):
            errand = bench.added(pool, step)
            # Kicks alone may have brought it to its end by now.
            with contextlib.suppress(BrokenPipeError):
                errand.ping()
            errand.wait_for_close()
            errand.release()

    def live_all() -> None:
        try:
            run_all([live] * 4)
        finally:
            over.set()

    run_all([kick, kick, live_all])
    assert acts


class SlowToReturn:
    """A poller of which the first rearm has been done, and does not return yet."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.go_on = threading.Event()

    def rearm(self, fd: int, interest: Interest) -> None:
        self._poller.rearm(fd, interest)
        assert self.go_on.wait(20)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def test_n10_task_is_not_stepped_before_the_call_that_armed_it_has_returned(
    bench: Bench, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next owner could close it, and the late call would meet what has its number then."""
    slow: Any = SlowToReturn(poller)
    bench.poller = slow
    pool = bench.pool(2, spare=2)
    awaited = threading.Event()
    sleep = time.sleep

    def note(seconds: float) -> None:
        # Who waits for an arming yields; nobody else here sleeps for no time.
        if not seconds:
            awaited.set()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    errand = bench.added(pool)
    errand.ping()
    errand.wait_for_steps(1)
    errand.ping()
    wait_until(lambda: awaited.is_set() or errand.steps > 1, "somebody has the event")
    steps = errand.steps
    slow.go_on.set()
    errand.wait_for_steps(2)
    assert steps == 1
