"""A worker steps what is ready, alone, and does what the step says next."""

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
from tests.mogpoll.tasks import Blocker, Errand
from tests.support.sockets import drain, fill
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Poller
    from tests.mogpoll.tasks import Bench

PATIENT = (Next.READ, Next.WRITE, Next.READ_WRITE, Next.AGAIN, Next.PARKED)


def first(verdict: Next) -> Callable[[Errand], Next]:
    """An act that returns `verdict` once, and parks itself at its second step."""
    return lambda errand: Next.PARKED if errand.steps else verdict


def test_task_is_stepped_when_it_is_readable(bench: Bench) -> None:
    pool = bench.pool(2)
    errand = bench.added(pool)
    bench.fence(pool)
    assert errand.steps == 0
    errand.ping()
    errand.wait_for_steps(1)


def test_task_may_be_added_for_writing(bench: Bench) -> None:
    errand = bench.added(bench.pool(2), first(Next.PARKED), Interest.WRITE)
    errand.wait_for_steps(1)


@pytest.mark.parametrize("verdict", PATIENT)
@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "full"])
def test_verdict_says_when_the_next_step_comes(
    bench: Bench, verdict: Next, readable: bool, writable: bool
) -> None:
    pool = bench.pool(1)
    errand = bench.errand()

    def act(_: Errand) -> Next:
        if errand.steps:
            return Next.PARKED
        if not readable:
            drain(errand.near)
        if not writable:
            fill(errand.near)
        return verdict

    errand.act = act
    errand.ping()
    pool.add(errand)
    errand.wait_for_steps(1)
    for _ in range(2):
        bench.fence(pool)
    follows_reading = verdict in (Next.READ, Next.READ_WRITE)
    follows_writing = verdict in (Next.WRITE, Next.READ_WRITE, Next.AGAIN)
    is_next = (readable and follows_reading) or (writable and follows_writing)
    assert errand.steps == 1 + is_next


def test_closed_task_is_forgotten_and_closed_once(bench: Bench) -> None:
    pool = bench.pool(2)
    errand = bench.added(pool, lambda _: Next.CLOSE)
    number = errand.fileno()
    errand.ping()
    errand.wait_for_close()
    reader, writer = os.pipe()
    assert number in (reader, writer)
    bench.poller.add(number, Interest.READ)
    bench.poller.forget(number)
    os.close(reader)
    os.close(writer)
    assert errand.closes == 1


def test_task_that_goes_on_lets_others_have_their_turn(bench: Bench) -> None:
    pool = bench.pool(1)
    turns: list[str] = []

    def take_turns(name: str) -> Callable[[Errand], Next]:
        def act(errand: Errand) -> Next:
            turns.append(name)
            return Next.AGAIN if errand.steps < 9 else Next.PARKED

        return act

    blocker = Blocker()
    bench.added(pool, blocker).ping()
    blocker.wait_for(1)
    both = [bench.added(pool, take_turns(name), Interest.WRITE) for name in "ab"]
    blocker.go_on.set()
    for errand in both:
        errand.wait_for_steps(10)
    assert turns == ["a", "b"] * 10


@pytest.mark.usefixtures("restless")
def test_n10_ten_thousand_steps_have_one_thread_each(bench: Bench) -> None:
    pool = bench.pool(8, spare=8)
    verdicts = itertools.cycle([Next.READ, Next.WRITE, Next.READ_WRITE, Next.AGAIN])

    def act(errand: Errand) -> Next:
        return next(verdicts) if errand.steps < 499 else Next.CLOSE

    errands = [bench.errand(act) for _ in range(20)]
    for errand in errands:
        errand.ping()
        pool.add(errand)
    for errand in errands:
        errand.wait_for_close()
    assert [errand.steps for errand in errands] == [500] * 20


def test_workspace_belongs_to_one_thread(poller: Poller, bench: Bench) -> None:
    made: list[int] = []

    def workspace() -> int:
        made.append(threading.get_ident())
        return threading.get_ident()

    used: set[tuple[object, int]] = set()

    def act(errand: Errand) -> Next:
        used.add((errand.workspaces[-1], threading.get_ident()))
        return Next.AGAIN if errand.steps < 100 else Next.CLOSE

    pool: WorkerPool[Errand, int] = WorkerPool(poller, 4, spare=4, workspace=workspace)
    errands = [bench.errand(act) for _ in range(8)]
    for errand in errands:
        pool.add(errand, Interest.WRITE)
    for errand in errands:
        errand.wait_for_close()
    assert pool.stop()
    assert all(given == ident for given, ident in used)
    assert len(made) == len(set(made)) == 4


def test_n25_workers_leave_signals_to_the_main_thread(bench: Bench) -> None:
    masks: list[set[int]] = []

    def act(_: Errand) -> Next:
        masks.append({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])})
        return Next.CLOSE

    errand = bench.added(bench.pool(1), act, Interest.WRITE)
    errand.wait_for_close()
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD} <= masks[0]
    assert signal.SIGSEGV not in masks[0]


def test_waiting_tasks_are_those_that_nobody_steps(bench: Bench) -> None:
    pool = bench.pool(2)
    blocker = Blocker()
    waiting = bench.added(pool)
    stepped = bench.added(pool, blocker)
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


def test_refused_task_stays_with_the_caller(bench: Bench) -> None:
    pool = bench.pool(1)
    errand = bench.errand()
    number = errand.near.detach()
    os.close(number)
    errand.fileno = lambda: number  # type: ignore[method-assign]
    with pytest.raises(BadDescriptor):
        pool.add(errand)
    assert (pool.waiting_tasks(), errand.closes) == ([], 0)


def test_n08_file_is_refused(bench: Bench) -> None:
    pool = bench.pool(1)
    errand = bench.errand()
    with open(__file__, "rb") as file:
        errand.fileno = file.fileno  # type: ignore[method-assign]
        with pytest.raises(NotPollable):
            pool.add(errand)
    assert pool.waiting_tasks() == []


def test_task_with_the_number_of_another_is_refused_and_harms_nobody(bench: Bench) -> None:
    pool = bench.pool(1)
    owner, intruder = bench.added(pool), bench.errand()
    intruder.fileno = owner.fileno  # type: ignore[method-assign]
    with pytest.raises(AlreadyRegistered):
        pool.add(intruder)
    owner.ping()
    owner.wait_for_steps(1)
    assert intruder.steps == 0


# Failing tasks


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return what was logged, and count it as expected."""
    found = [record.levelno for record in caplog.records if record.name == "mogpoll"]
    caplog.clear()
    return found


def fail(_: Errand) -> Next:
    raise RuntimeError("a step that fails")


@pytest.mark.parametrize(
    "act", [fail, lambda _: None, lambda _: 17], ids=["raises", "none", "rubbish"]
)
def test_step_that_fails_costs_its_own_task_only(
    bench: Bench, caplog: pytest.LogCaptureFixture, act: Callable[[Errand], Next]
) -> None:
    pool = bench.pool(1)
    failing, other = bench.added(pool, act), bench.added(pool)
    failing.ping()
    failing.wait_for_close()
    other.ping()
    other.wait_for_steps(1)
    assert (failing.closes, levels(caplog)) == (1, [logging.ERROR])


def test_n31_close_that_fails_is_not_repeated(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    pool = bench.pool(1)
    errand = bench.added(pool, lambda _: Next.CLOSE)
    closes: list[int] = []

    def close() -> None:
        closes.append(errand.fileno())
        raise OSError(errno.ECONNRESET, "reset while closing")

    errand.close = close  # type: ignore[method-assign]
    errand.ping()
    errand.wait_for_steps(1)
    bench.fence(pool)
    assert bench.stop(pool)
    assert (len(closes), levels(caplog)) == (1, [logging.ERROR])


def test_task_that_cannot_be_rearmed_is_closed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Its step has closed the descriptor, which is not for it to do."""
    pool = bench.pool(1)
    errand = bench.errand()
    number = errand.fileno()
    errand.fileno = lambda: number  # type: ignore[method-assign]

    def act(_: Errand) -> Next:
        errand.near.close()
        return Next.READ

    errand.act = act
    pool.add(errand)
    errand.ping()
    errand.wait_for_close()
    bench.fence(pool)
    assert (errand.closes, pool.waiting_tasks()) == (1, [])
    assert levels(caplog) == [logging.ERROR]
