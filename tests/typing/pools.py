"""Worker pools with a workspace and without, and the tasks that they accept."""

from __future__ import annotations

import socket
from typing import Any, assert_type

from mogpoll import (
    DelayedCall,
    Interest,
    Next,
    PoolStatistics,
    Reason,
    Task,
    ThreadRefused,
    WorkerPool,
    open_poller,
)


class Echo:
    """A task without a workspace; it inherits from nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self.fileno, self.close = connection.fileno, connection.close

    def step(self, _workspace: None) -> Next:
        return Next.READ


class Upload:
    """A task whose steps share the buffer of their thread."""

    received: int = 0

    def fileno(self) -> int:
        return 3

    def step(self, workspace: bytearray) -> Next:
        self.received += len(workspace)
        return Next.PARKED

    def close(self) -> None: ...


class Verdictless:
    def fileno(self) -> int:
        return 3

    def step(self, _workspace: None) -> bool:
        return True

    def close(self) -> None: ...


def pool_without_a_workspace(echo: Echo) -> None:
    pool: WorkerPool[Echo, None] = WorkerPool(open_poller(), 8, spare=2, name="echo")
    pool.add(echo)
    pool.add(echo, Interest.WRITE)
    pool.resume(echo)
    assert_type(pool.waiting_tasks(), list[Echo])
    assert_type(pool.size, int)
    assert_type(pool.stop(5.0), bool)
    pool.resize(4)


def pool_without_an_annotation(echo: Echo) -> None:
    pool = WorkerPool(open_poller(), 8)
    assert_type(pool, WorkerPool[Task[Any], None])
    pool.add(echo, deadline_s=10)
    with WorkerPool(open_poller(), 8, workspace=bytearray) as other:
        assert_type(other, WorkerPool[Task[Any], bytearray])


def pool_that_is_asked_for_steps(pool: WorkerPool[Echo, None], echo: Echo) -> None:
    assert_type(pool.notify(echo), bool)
    assert_type(pool.close(echo), bool)
    pool.set_deadline(echo, 2.5)
    pool.set_deadline(echo, None)
    assert_type(pool.reason, Reason)
    timer = pool.call_later(1, lambda: pool.notify(echo))
    assert_type(timer, DelayedCall)
    assert_type(timer.cancel(), bool)
    found = pool.statistics()
    assert_type(found, PoolStatistics)
    assert_type(found.threads, int)


def pool_with_a_workspace(upload: Upload) -> None:
    pool: WorkerPool[Upload, bytearray] = WorkerPool(open_poller(), 8, workspace=bytearray)
    pool.add(upload)
    stepped = pool.step_now(lambda task: task.received > 0, lambda task: task.close())
    assert_type(stepped, int)


def workspace_from_a_function() -> None:
    pool = WorkerPool[Upload, bytearray](open_poller(), 8, workspace=lambda: bytearray(65536))
    assert_type(pool, WorkerPool[Upload, bytearray])


def pool_of_several_kinds(echo: Echo) -> None:
    pool: WorkerPool[Task[None], None] = WorkerPool(open_poller(), 1)
    pool.add(echo)
    assert_type(pool.waiting_tasks(), list[Task[None]])


def refused_thread() -> str:
    try:
        WorkerPool[Echo, None](open_poller(), 1000)
    except ThreadRefused as error:
        return str(error)
    return ""


def task_for_any_workspace() -> None:
    """A step that takes every object serves every pool."""

    class Anything:
        def fileno(self) -> int:
            return 3

        def step(self, _workspace: object) -> Next:
            return Next.CLOSE

        def close(self) -> None: ...

    pool: WorkerPool[Task[bytearray], bytearray] = WorkerPool(
        open_poller(), 1, workspace=bytearray
    )
    pool.add(Anything())


def refused(echo: Echo, upload: Upload) -> None:
    without: WorkerPool[Echo, None] = WorkerPool(open_poller(), 8)
    without.add(upload)  # type: ignore[arg-type]
    without.add(echo, "read")  # type: ignore[arg-type]
    without.add(echo, 1)  # type: ignore[arg-type]
    without.notify(upload)  # type: ignore[arg-type]
    without.set_deadline(echo, "1")  # type: ignore[arg-type]
    without.call_later(1, echo)  # type: ignore[arg-type]
    without.statistics().steps = 3  # type: ignore[misc]
    without.resume(None)  # type: ignore[arg-type]
    without.step_now(lambda task: task.received > 0)  # type: ignore[attr-defined]
    # No step returns a bool, and a task needs all three methods.
    WorkerPool[Verdictless, None](open_poller(), 8)  # type: ignore[type-var]
    WorkerPool[socket.socket, None](open_poller(), 8)  # type: ignore[type-var]
    # Without a workspace, steps get None.
    _pool: WorkerPool[Upload, bytearray] = WorkerPool(open_poller(), 8)  # type: ignore[assignment]
    WorkerPool[Upload, bytearray](open_poller(), 8, workspace=str)  # type: ignore[arg-type]
    several: WorkerPool[Task[None], None] = WorkerPool(open_poller(), 8)
    several.add(upload)  # type: ignore[arg-type]
