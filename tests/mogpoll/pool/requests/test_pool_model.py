"""Random calls of a pool and a small model of it must agree on every step.

One thread makes the calls, and lets a step end only when the model knows that it began: so the
number of steps of each task, and why each was called, follow from the calls. More steps are a
failure as fewer are. A task is stepped by the event of an arming that is in force, by `notify`, by
`resume`, by a sweep, or at its deadline.

HYPOTHESIS_PROFILE=long runs many more and longer examples.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mogpoll import Next, Reason, WorkerPool
from tests.mogpoll.backends import parameters
from tests.mogpoll.model_runs import IS_LONG, MARKS, PROFILE
from tests.support.sockets import drain
from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.mogpoll.backends import Backend

RUNS = PROFILE if IS_LONG else settings(PROFILE, max_examples=25)

pytestmark = MARKS

TASKS = 3
# One for each task, and some to take events of tasks that do not wait.
THREADS = TASKS + 2
LIMIT_S = 20.0 * PATIENCE

THEN = (Next.READ, Next.NOTIFIED, Next.PARKED, Next.CLOSE)

WAITING, STEPPED, PARKED, CLOSED = "waiting", "stepped", "parked", "closed"


class HeldTask:
    """A task whose steps last until `finish`. **Threads:** `_lock` guards what steps change."""

    def __init__(self, pool: WorkerPool[HeldTask | Fence, None]) -> None:
        self._pool = pool
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.reasons: list[Reason] = []
        self.closes = 0
        self._then: list[tuple[Next, float | None]] = []
        self._may_end = threading.Semaphore(0)

    def fileno(self) -> int:
        return self.near.fileno()

    def step(self, _: None) -> Next:
        self.reasons.append(self._pool.reason)
        assert self._may_end.acquire(timeout=LIMIT_S)
        drain(self.near)
        then, deadline_s = self._then.pop()
        self._pool.set_deadline(self, deadline_s)
        return then

    def finish(self, then: Next, deadline_s: float | None) -> None:
        self._then.append((then, deadline_s))
        self._may_end.release()

    def close(self) -> None:
        self.near.close()
        self.closes += 1


class Fence:
    """A task that steps beside as many others as `barrier` has places."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier
        self.near, far = socket.socketpair()
        far.close()
        self.closed = threading.Event()
        self.fileno = self.near.fileno

    def step(self, _: None) -> Next:
        self._barrier.wait(LIMIT_S)
        return Next.CLOSE

    def close(self) -> None:
        self.near.close()
        self.closed.set()


class Model:
    """What must be true of one task."""

    def __init__(self) -> None:
        self.place = WAITING
        self.steps = 0
        self.reason = Reason.READY
        # An arming is in force in the poller.
        self.armed = True
        self.unread = False
        self.marked: Next | None = None

    def begin(self, reason: Reason) -> None:
        """A step begins, or the close that was asked for."""
        if self.marked is Next.CLOSE:
            self.place = CLOSED
        else:
            self.place, self.reason = STEPPED, reason
            self.steps += 1
        self.marked = None

    def look(self) -> None:
        """An event is delivered; without a task that waits it is dropped."""
        if self.armed and self.unread:
            self.armed = False
            if self.place is WAITING:
                self.begin(Reason.READY)


class PoolMachine(RuleBasedStateMachine):
    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.poller = self.backend.open()
        self.pool = WorkerPool["HeldTask | Fence", None](self.poller, THREADS, spare=THREADS)
        self.tasks = [self._added() for _ in range(TASKS)]
        self.models = [Model() for _ in self.tasks]
        self.gone: list[HeldTask] = []

    def _added(self) -> HeldTask:
        task = HeldTask(self.pool)
        self.pool.add(task)
        return task

    def teardown(self) -> None:
        try:
            for at in self._all(PARKED):
                self.resume(at)
            for at in self._all(STEPPED):
                self.finish(at, Next.CLOSE)
            assert self.pool.stop(LIMIT_S)
            assert [task.closes for task in self.tasks] == [1] * TASKS
            assert {task.closes for task in self.gone} <= {1}
            table = self.pool._table
            assert (table.members, table.marks, table.deadlines) == ({}, {}, {})
        finally:
            self.poller.close()
            for task in (*self.tasks, *self.gone):
                task.far.close()
                task.near.close()

    at = st.integers(0, TASKS - 1)
    deadline_s = st.sampled_from([None, 0.0, 3600.0])

    @rule(at=at)
    def write(self, at: int) -> None:
        self.tasks[at].far.send(b".")
        self.models[at].unread = True
        self._agree(at)

    @rule(at=at, times=st.integers(1, 3))
    def notify(self, at: int, times: int) -> None:
        if self.models[at].place is WAITING:
            # The step may begin before a second call, which then asks for another.
            times = 1
        for _ in range(times):
            assert self.pool.notify(self.tasks[at])
        self._ask(at, Next.NOTIFIED)

    @rule(at=at)
    def close(self, at: int) -> None:
        assert self.pool.close(self.tasks[at])
        self._ask(at, Next.CLOSE)

    @rule()
    def sweep(self) -> None:
        waiting = [model for model in self.models if model.place is WAITING]
        assert self.pool.step_now(lambda _: True) == len(waiting)
        for model in waiting:
            model.begin(Reason.RESUMED)
        for at in range(TASKS):
            self._agree(at)

    @precondition(lambda self: self._all(PARKED))
    @rule(at=at)
    def resume_one(self, at: int) -> None:
        parked = self._all(PARKED)
        self.resume(parked[at % len(parked)])

    def resume(self, at: int) -> None:
        self.models[at].begin(Reason.RESUMED)
        self.pool.resume(self.tasks[at])
        self._agree(at)

    @precondition(lambda self: self._all(STEPPED))
    @rule(at=at, then=st.sampled_from(THEN), deadline_s=deadline_s)
    def finish_one(self, at: int, then: Next, deadline_s: float | None) -> None:
        stepped = self._all(STEPPED)
        self.finish(stepped[at % len(stepped)], then, deadline_s)

    @precondition(lambda self: self._all(STEPPED))
    @rule(then=st.sampled_from(THEN[:2]), deadline_s=deadline_s)
    def finish_all(self, then: Next, deadline_s: float | None) -> None:
        for at in self._all(STEPPED):
            self.finish(at, then, deadline_s)

    def _all(self, place: str) -> list[int]:
        return [at for at, model in enumerate(self.models) if model.place is place]

    def finish(self, at: int, then: Next, deadline_s: float | None = None) -> None:
        """Let a step end that is held."""
        task, model = self.tasks[at], self.models[at]
        model.unread = False
        task.finish(then, deadline_s)
        if then is Next.CLOSE:
            model.place = CLOSED
        elif then is Next.PARKED:
            model.place = PARKED
        else:
            model.place = WAITING
            model.armed = model.armed or then is Next.READ
            if model.marked is not None:
                # The deadline may have been first.
                model.begin(Reason.NOTIFIED)
                if deadline_s == 0.0 and model.place is STEPPED:
                    wait_until(lambda: len(task.reasons) == model.steps, "its step began")
                    model.reason = task.reasons[-1]
            elif deadline_s == 0.0:
                model.begin(Reason.DEADLINE)
        self._agree(at)

    def _ask(self, at: int, wanted: Next) -> None:
        model = self.models[at]
        if model.marked is not Next.CLOSE:
            model.marked = wanted
        if model.place is WAITING:
            model.begin(Reason.NOTIFIED)
        self._agree(at)

    def _agree(self, at: int) -> None:
        """Wait until all that can happen has happened, and compare."""
        task, model = self.tasks[at], self.models[at]
        model.look()
        wait_until(
            lambda: len(task.reasons) >= model.steps and task.closes == (model.place is CLOSED),
            f"{model.steps} steps, {model.place}",
        )
        self._let_all_pass()
        assert len(task.reasons) == model.steps
        if model.place is STEPPED:
            assert task.reasons[-1] is model.reason
        elif model.place is CLOSED:
            # Another takes its place, often with the number of its descriptor.
            assert not self.pool.notify(task)
            assert not self.pool.close(task)
            task.far.close()
            self.gone.append(task)
            self.tasks[at], self.models[at] = self._added(), Model()

    def _let_all_pass(self) -> None:
        """Let all workers that are free take an event: none has an earlier one then."""
        held = sum(model.place is STEPPED for model in self.models)
        barrier = threading.Barrier(THREADS - held)
        fences = [Fence(barrier) for _ in range(barrier.parties)]
        for fence in fences:
            self.pool.add(fence)
        for fence in fences:
            assert fence.closed.wait(LIMIT_S)
        assert not barrier.broken


def machine_for(backend: Backend) -> type[PoolMachine]:
    return type(f"PoolMachineOn{backend.name.title()}", (PoolMachine,), {"backend": backend})


@pytest.mark.parametrize("machine_backend", parameters())
def test_pool_agrees_with_its_model(machine_backend: Backend) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call,unused-ignore]
        machine_for(machine_backend), settings=RUNS
    )
