"""Tasks that check their ownership, and pools to step them."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from mogpoll import Interest, Next, WorkerPool
from tests.support.sockets import drain
from tests.support.threads import Running
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Poller

LIMIT_S = 20.0 * PATIENCE


class FakeTask:
    """A task on one end of a socket pair; `act` is its step.

    A second owner, or a step after close, goes into `faults`, since the pool would only log an
    exception.
    """

    def __init__(self, act: Callable[[FakeTask], Next] | None = None) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.act = act
        self.steps = 0
        self.closes = 0
        self.faults: list[str] = []
        self.workspaces: list[object] = []
        self._owners: dict[str, object] = {}
        self._news = threading.Condition()

    def fileno(self) -> int:
        return self.near.fileno()

    def step(self, workspace: object) -> Next:
        try:
            with Ownership(self):
                self.workspaces.append(workspace)
                return self._act()
        finally:
            # A thread waiting for this step may resume the task before it returns.
            with self._news:
                self.steps += 1
                self._news.notify_all()

    def _act(self) -> Next:
        if self.act is not None:
            return self.act(self)
        drain(self.near)
        return Next.READ

    def close(self) -> None:
        with Ownership(self), self._news:
            self.near.close()
            self.closes += 1
            self._news.notify_all()

    def ping(self) -> None:
        """Make it readable."""
        self.far.send(b".")

    def wait_for_steps(self, count: int) -> None:
        with self._news:
            done = self._news.wait_for(lambda: self.steps >= count, LIMIT_S)
        assert done, f"{self.steps} steps, not {count}"

    def wait_for_close(self) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.closes, LIMIT_S), "not closed"

    def release(self) -> None:
        self.near.close()
        self.far.close()


class Ownership:
    """Held while stepping, closing or changing a task."""

    def __init__(self, task: FakeTask) -> None:
        self._task = task
        self._claim = object()

    def __enter__(self) -> None:
        task = self._task
        if task._owners.setdefault("owner", self._claim) is not self._claim:
            task.faults.append("two owners")
        if task.closes:
            task.faults.append("touched after its end")

    def __exit__(self, *_: object) -> None:
        self._task._owners.pop("owner", None)


class Blocker:
    """A step that blocks, as on a disk, until `go_on` is set."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, task: FakeTask) -> Next:
        drain(task.near)
        self.entered.release()
        assert self.go_on.wait(LIMIT_S)
        return Next.READ

    def wait_for(self, count: int) -> None:
        for number in range(count):
            assert self.entered.acquire(timeout=LIMIT_S), f"{number} of {count} entered"


class PoolFixture:
    """Pools and tasks of a test, with the checks that every test makes."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self._tasks: list[FakeTask] = []
        self._pools: list[WorkerPool[FakeTask, object]] = []

    def pool(
        self,
        threads: int,
        *,
        spare: int | None = None,
        name: str = "worker",
        workspace: Callable[[], object] = object,
    ) -> WorkerPool[FakeTask, object]:
        made: WorkerPool[FakeTask, object] = WorkerPool(
            self.poller, threads, spare=spare, name=name, workspace=workspace
        )
        self._pools.append(made)
        return made

    def task(self, act: Callable[[FakeTask], Next] | None = None) -> FakeTask:
        made = FakeTask(act)
        self._tasks.append(made)
        return made

    def added(
        self,
        pool: WorkerPool[FakeTask, object],
        act: Callable[[FakeTask], Next] | None = None,
        interest: Interest = Interest.READ,
    ) -> FakeTask:
        made = self.task(act)
        pool.add(made, interest)
        return made

    def fence(self, pool: WorkerPool[FakeTask, object]) -> None:
        """Wait until the pool has stepped a task that became ready after all others."""
        fence = self.added(pool, lambda _: Next.CLOSE)
        fence.ping()
        fence.wait_for_close()

    def parked(self, pool: WorkerPool[FakeTask, object], then: Next = Next.READ) -> FakeTask:
        """Return a task that parked itself in its first step."""
        made = self.added(pool, lambda task: Next.PARKED if not task.steps else then)
        made.ping()
        made.wait_for_steps(1)
        return made

    def stop(self, pool: WorkerPool[FakeTask, object], timeout_s: float | None = None) -> bool:
        self._pools.remove(pool)
        return Running(lambda: pool.stop(timeout_s)).result()

    def finish(self) -> None:
        for pool in list(self._pools):
            assert self.stop(pool)
        for task in self._tasks:
            task.release()
        assert [fault for task in self._tasks for fault in task.faults] == []
