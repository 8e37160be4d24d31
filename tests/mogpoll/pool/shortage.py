"""A pool that runs out of memory at one point, and its state afterwards."""

from __future__ import annotations

import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from mogpoll import Next
from mogpoll.pool.crew import Crew
from tests.mogpoll.pool.tasks import FakeTask, PoolFixture
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Interest, Poller, WorkerPool

_TASKS = 4
_THREADS = 3

# Points at which a pool calls the system or allocates memory.
POINTS = (
    "workspace",
    "poller.add",
    "poller.wait",
    "poller.rearm",
    "poller.forget",
    "table of tasks",
    "set of those in arming",
    "queue of resumed",
    "step",
    "close of a task",
)


class Shortage:
    """Raises MemoryError at one point: at call `first` and the `row - 1` calls after it."""

    def __init__(self, point: str, first: int, row: int) -> None:
        self.point = point
        self._refused = range(first, first + row)
        self._calls = 0
        self.refusals = 0
        self.lifted = False

    def at(self, point: str) -> None:
        if point != self.point or self.lifted:
            return
        self._calls += 1
        if self._calls in self._refused:
            self.refusals += 1
            raise MemoryError(point)


class _ScarcePoller:
    """A poller whose calls may raise MemoryError after the kernel's part is done."""

    def __init__(self, poller: Poller, shortage: Shortage) -> None:
        self._poller, self._shortage = poller, shortage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def add(self, fd: int, interest: Interest) -> None:
        self._shortage.at("poller.add")
        self._poller.add(fd, interest)

    def rearm(self, fd: int, interest: Interest) -> None:
        self._shortage.at("poller.rearm")
        self._poller.rearm(fd, interest)

    def forget(self, fd: int) -> None:
        self._poller.forget(fd)
        self._shortage.at("poller.forget")

    def wait(self, timeout_s: float | None = None) -> object:
        event = self._poller.wait(timeout_s)
        # The event is lost.
        self._shortage.at("poller.wait")
        return event


class _Table(dict[int, Any]):
    shortage: Shortage

    def __setitem__(self, fd: int, task: Any) -> None:
        self.shortage.at("table of tasks")
        super().__setitem__(fd, task)


class _Arming(set[int]):
    shortage: Shortage

    def add(self, fd: int) -> None:
        self.shortage.at("set of those in arming")
        super().add(fd)


class _Resumed(deque[Any]):
    shortage: Shortage

    def append(self, task: Any) -> None:
        self.shortage.at("queue of resumed")
        super().append(task)


class _ScarceTask(FakeTask):
    shortage: Shortage

    def step(self, workspace: object) -> Next:
        self.shortage.at("step")
        return super().step(workspace)

    def close(self) -> None:
        super().close()
        self.shortage.at("close of a task")


def try_out(poller: Poller, shortage: Shortage) -> tuple[int, int]:
    """Use a pool in that shortage; return the numbers of tasks it closed and kept.

    Every task must be stepped or closed, once; afterwards all threads must serve, the tables
    be empty, and `stop` return.
    """
    pools = PoolFixture(cast("Poller", _ScarcePoller(poller, shortage)))
    tasks = [_ScarceTask() for _ in range(_TASKS - 1)]
    tasks.append(_ScarceTask(lambda _: Next.CLOSE))
    for task in tasks:
        task.shortage = shortage
    # Failing to create a pool is tested elsewhere.
    shortage.lifted = shortage.point == "poller.add"
    with patch.object(Crew, "start", _start_with_scarce_tables(shortage)):
        pool = pools.pool(_THREADS, spare=_THREADS, workspace=_workspace(shortage))
    shortage.lifted = False
    added = [task for task in tasks if _add(pool, task)]
    for round_ in (1, 2):
        for task in added:
            with contextlib.suppress(OSError):
                task.ping()
        wait_until(partial(_have_moved, added, round_), "each was stepped or closed")
        with contextlib.suppress(MemoryError):
            pool.step_now(lambda _: True)
    shortage.lifted = True
    pools.fence(pool)
    closed = [task for task in added if task.closes]
    kept = [task for task in added if not task.closes]
    before = {task: task.steps for task in kept}
    for task in kept:
        task.ping()
    wait_until(lambda: all(e.steps > before[e] for e in kept), "those that were kept are served")
    wait_until(lambda: pool.size == _THREADS, "the threads are complete")
    wait_until(lambda: set(pool.waiting_tasks()) == set(kept), "those that were kept wait")
    wait_until(lambda: not pool._table.arming, "no arming is under way")
    assert pools.stop(pool, 20.0)
    assert [task.closes for task in added] == [1] * len(added)
    assert [task.faults for task in tasks] == [[]] * _TASKS
    pools.finish()
    for task in tasks:
        task.release()
    return len(closed), len(kept)


def _have_moved(tasks: list[_ScarceTask], steps: int) -> bool:
    return all(task.steps >= steps or task.closes for task in tasks)


def _start_with_scarce_tables(shortage: Shortage) -> Callable[[Crew, int], None]:
    genuine = Crew.start

    def start(crew: Crew, count: int) -> None:
        table = crew._main.__self__.table  # type: ignore[attr-defined]
        table.armed, table.arming, table.queue = _Table(), _Arming(), _Resumed()
        for each in (table.armed, table.arming, table.queue):
            each.shortage = shortage
        genuine(crew, count)

    return start


def _add(pool: WorkerPool[FakeTask, object], task: FakeTask) -> bool:
    try:
        pool.add(task)
    except MemoryError:
        return False
    return True


def _workspace(shortage: Shortage) -> Callable[[], object]:
    def make() -> object:
        shortage.at("workspace")
        return object()

    return make
