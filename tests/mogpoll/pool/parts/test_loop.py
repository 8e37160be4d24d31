"""The loop of a worker, at moments between two of its lines."""

from __future__ import annotations

import logging
import types
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import Event, Interest, Next, Poller, PollerClosed, Readiness
from mogpoll.pool import loop as module
from mogpoll.pool.crew import Crew, Worker
from mogpoll.pool.loop import Loop
from mogpoll.pool.step import Reason, Task
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.mogpoll.pool.tasks import PoolFixture

FD = 10**6


class _ScriptedPoller:
    """Notes its calls; `events` are what its waits return or raise."""

    def __init__(self) -> None:
        self.events: list[int | BaseException] = []
        self.forgotten: list[int] = []
        self.rearmed: list[int] = []
        self.refusal: Exception | None = None

    def add(self, fd: int, interest: Interest) -> None:
        pass

    def rearm(self, fd: int, _interest: Interest) -> None:
        self.rearmed.append(fd)

    def forget(self, fd: int) -> None:
        self.forgotten.append(fd)
        if self.refusal is not None:
            raise self.refusal

    def wait(self, _timeout_s: float | None = None) -> Event:
        event = self.events.pop(0)
        if isinstance(event, BaseException):
            raise event
        return Event(event, Readiness.READABLE)


class _Task:
    def __init__(self, fd: int = FD, verdict: Next = Next.READ) -> None:
        self.fd, self.verdict = fd, verdict
        self.steps = self.closes = 0

    def fileno(self) -> int:
        return self.fd

    def step(self, _workspace: Any) -> Next:
        self.steps += 1
        return self.verdict

    def close(self) -> None:
        self.closes += 1

    def __repr__(self) -> str:
        return "the client"


class _Rig:
    """A loop with one worker, which is in no thread of its own."""

    def __init__(self) -> None:
        self.poller = _ScriptedPoller()
        self.loop: Loop[Task[Any], None] = Loop(cast("Poller", self.poller), lambda: None)
        self.loop.crew = Crew("worker", 1, self.loop.main)
        self.worker = Worker()
        self.loop.crew.workers.append(self.worker)

    def serve(self, *events: int) -> None:
        """Serve these events, and fail in the wait for the next."""
        self.poller.events += [*events, MemoryError()]
        with pytest.raises(MemoryError):
            self.loop._serve(self.worker, None)


@pytest.fixture
def rig() -> Iterator[_Rig]:
    made = _Rig()
    yield made
    made.loop.waker.close()


def test_wait_that_fails_is_over(rig: _Rig) -> None:
    rig.serve()
    assert not rig.worker.waiting


@pytest.mark.parametrize("fd", [0, 1, FD])
def test_descriptor_of_a_closed_task_is_forgotten(rig: _Rig, fd: int) -> None:
    task = _Task(fd, Next.CLOSE)
    rig.loop.table.add(task, Interest.READ, None)
    rig.serve(fd)
    assert (task.closes, rig.poller.forgotten) == (1, [fd])


def test_task_that_was_closed_when_its_step_was_to_begin_is_closed_once(rig: _Rig) -> None:
    task = _Task()
    rig.loop.table.add(task, Interest.READ, None)
    rig.loop.table.mark(task, Next.CLOSE)
    rig.serve()
    assert (task.steps, task.closes, rig.poller.forgotten) == (0, 1, [FD])


def test_queued_task_whose_descriptor_cannot_be_asked_for_is_closed_and_forgotten(
    rig: _Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _Task()
    rig.loop.table.add(task, Interest.READ, None)
    rig.loop.table.mark(task, Next.NOTIFIED)

    def fileno() -> int:
        raise MemoryError

    monkeypatch.setattr(task, "fileno", fileno)
    rig.serve()
    assert (task.closes, rig.poller.forgotten) == (1, [FD])


@pytest.mark.parametrize("verdict", [Next.READ, Next.NOTIFIED])
def test_failure_after_a_task_waits_again_leaves_it_there(
    rig: _Rig, monkeypatch: pytest.MonkeyPatch, verdict: Next
) -> None:
    """Another thread may have taken it already."""
    table = rig.loop.table
    task = _Task(verdict=verdict)

    def fail(_fd: int, _task: object) -> None:
        raise MemoryError

    table.add(task, Interest.READ, None)
    table.marks[1] = Next.NOTIFIED
    monkeypatch.setattr(table, "claim_if_marked", fail)
    rig.serve(FD)
    assert (task.closes, table.armed) == (0, {FD: task})


def test_descriptor_that_cannot_be_forgotten_is_logged(
    rig: _Rig, caplog: pytest.LogCaptureFixture
) -> None:
    task = _Task(verdict=Next.CLOSE)
    rig.loop.table.add(task, Interest.READ, None)
    rig.poller.refusal = OSError("no such descriptor")
    rig.serve(FD)
    assert (task.closes, caplog.messages) == (1, ["could not forget the client"])


def test_task_that_cannot_be_queued_is_closed_and_logged(
    rig: _Rig, caplog: pytest.LogCaptureFixture
) -> None:
    task = _Task()
    rig.loop.table.add(task, Interest.READ, None)
    rig.loop._refuse(task)
    assert (task.closes, caplog.messages) == (1, ["no memory to resume the client"])


def test_queued_tasks_and_events_take_turns_and_wake_another_worker_for_the_rest(
    rig: _Rig,
) -> None:
    """Each step may block."""
    table, waker = rig.loop.table, rig.loop.waker
    reasons: list[Reason] = []
    woken: list[bool] = []

    class Task(_Task):
        def step(self, _workspace: Any) -> Next:
            reasons.append(rig.worker.reason)
            woken.append(waker._is_set)
            waker.drain()
            return Next.PARKED

    for fd in range(FD, FD + 3):
        table.put(Task(fd), Reason.RESUMED)
    waker.drain()
    ready = Task(FD + 3)
    table.add(ready, Interest.READ, None)
    rig.serve(FD + 3)
    assert reasons[:2] == [Reason.RESUMED, Reason.READY]
    assert woken[:2] == [True, True]


@pytest.mark.parametrize("is_leaving", [True, False])
def test_worker_that_leaves_wakes_another_for_what_was_queued_while_it_drained(
    rig: _Rig, monkeypatch: pytest.MonkeyPatch, is_leaving: bool
) -> None:
    """One that stays looks at the queue itself."""
    loop, waker = rig.loop, rig.loop.waker
    loop.crew.leaving = int(is_leaving)
    drain = waker.drain

    def drain_late() -> None:
        loop.table.queue.append((_Task(), Reason.RESUMED))
        drain()

    monkeypatch.setattr(waker, "drain", drain_late)
    waker.wake()
    assert loop._receive_waker(rig.worker) is is_leaving
    assert waker._is_set is is_leaving


def test_last_worker_that_leaves_drains_the_waker(rig: _Rig) -> None:
    rig.loop.crew.leaving = 1
    rig.loop.waker.wake()
    assert rig.loop._receive_waker(rig.worker)
    assert not rig.loop.waker._is_set


def sleeps_of(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> list[float]:
    """Let a worker that recovers not sleep, but do something else."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        then()

    monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=sleep))
    return slept


def test_worker_that_failed_waits_before_it_goes_on(
    rig: _Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig.worker.thread = types.SimpleNamespace(name="worker-1")  # type: ignore[assignment]
    slept = sleeps_of(monkeypatch, lambda: None)
    rig.poller.events = [ZeroDivisionError(), PollerClosed()]
    rig.loop.main(rig.worker)
    assert len(slept) == 1
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "worker-1 failed; it goes on"),
        (logging.CRITICAL, "worker-1 ended: its poller was closed"),
    ]


@pytest.mark.parametrize("why", ["it is to end", "the pool stops", "the poller is closed"])
def test_worker_that_failed_ends_where_it_is_not_to_go_on(
    rig: _Rig, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def then() -> None:
        if why == "it is to end":
            rig.loop.crew.workers.clear()
        elif why == "the pool stops":
            rig.loop.crew.stopping = True
        else:
            monkeypatch.setattr(rig.poller, "rearm", refuse)

    def refuse(_fd: int, _interest: Interest) -> None:
        raise PollerClosed

    task = _Task()
    rig.loop.table.add(task, Interest.READ, None)
    sleeps_of(monkeypatch, then)
    assert rig.loop._recover(rig.worker)
    assert list(rig.loop.table.queue) == []


def test_worker_that_ends_is_no_worker_any_more(pools: PoolFixture) -> None:
    pool = pools.pool(2)
    tasks = [pools.added(pool, lambda _: Next.CLOSE) for _ in range(2)]
    for task in tasks:
        task.ping()
        task.wait_for_close()
    pool.resize(1)
    wait_until(lambda: len(pool._loop.workers) <= 1, "the other has gone")
    assert pools.stop(pool)
    assert pool._loop.workers == {}
