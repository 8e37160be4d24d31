"""The table of tasks, at moments between two of its lines."""

from __future__ import annotations

import errno
import threading
import types
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import AlreadyRegistered, Interest, Next, NotPollable, Poller, Reason
from mogpoll.pool import table as module
from mogpoll.pool.step import Task
from mogpoll.pool.table import Deadline, TaskTable

if TYPE_CHECKING:
    from collections.abc import Callable

FD = 7


class _Task:
    def fileno(self) -> int:
        return FD

    def step(self, _workspace: Any) -> Next:
        return Next.READ

    def close(self) -> None:
        pass


class _RefusingPoller:
    """Refuses each descriptor, and does something else before."""

    def __init__(self, error: OSError) -> None:
        self._error = error
        self.is_refusing = True
        self.before: Callable[[], object] = lambda: None

    def add(self, _fd: int, _interest: Interest) -> None:
        self.before()
        if self.is_refusing:
            raise self._error


def made(error: OSError) -> tuple[TaskTable[Task[Any]], _RefusingPoller]:
    poller = _RefusingPoller(error)
    return TaskTable(cast("Poller", poller), (), lambda: None, lambda _: None), poller


def test_task_that_is_in_a_step_is_refused_and_still_waits_after_it() -> None:
    table, poller = made(AlreadyRegistered(FD))
    task = _Task()
    table.members[id(task)] = FD

    def end_step() -> None:
        table.armed[FD] = task
        ended.append(True)

    ended: list[bool] = []
    poller.before = end_step
    with pytest.raises(AlreadyRegistered):
        table.add(task, Interest.READ, None)
    if not ended:
        end_step()
    assert (table.armed, table.members) == ({FD: task}, {id(task): FD})


def test_task_with_the_number_of_one_in_a_step_is_refused_and_harms_no_other() -> None:
    """Where its place is seen, the other takes it when its step ends, and loses it to an event."""
    table, poller = made(AlreadyRegistered(FD))
    owner = _Task()
    poller.is_refusing = False
    table.add(owner, Interest.READ, None)
    assert table.armed.pop(FD) is owner
    poller.is_refusing = True

    def end_step_and_begin_another() -> None:
        table.armed[FD] = owner
        del table.armed[FD]

    poller.before = end_step_and_begin_another
    with pytest.raises(AlreadyRegistered):
        table.add(_Task(), Interest.READ, None)
    assert (table.armed, table.members) == ({}, {id(owner): FD})
    table.drop(id(owner))
    poller.is_refusing, poller.before = False, lambda: None
    heir = _Task()
    table.add(heir, Interest.READ, None)
    assert (table.armed, table.members) == ({FD: heir}, {id(heir): FD})


def test_task_that_cannot_be_added_is_left_to_the_thread_that_has_taken_it() -> None:
    """An event of the file that had the number before may come so late."""
    table, poller = made(NotPollable(FD))
    task = _Task()
    poller.before = lambda: table.armed.pop(FD)
    table.add(task, Interest.READ, None)
    assert (table.armed, table.members) == ({}, {id(task): FD})


def test_task_that_cannot_be_added_leaves_nothing() -> None:
    table, _ = made(OSError(errno.ENOMEM, "no memory"))
    with pytest.raises(OSError, match="no memory"):
        table.add(_Task(), Interest.READ, None)
    assert (table.armed, table.members, table.arming, table.marks) == ({}, {}, set(), {})
    assert table.numbers == set()


def with_waiting(
    wake: Callable[[], None] = lambda: None, steppers: tuple[int, ...] = ()
) -> tuple[TaskTable[Task[Any]], _Task]:
    """Return a table, and the task that waits in it."""
    poller = _RefusingPoller(NotPollable(FD))
    poller.is_refusing = False
    table: TaskTable[Task[Any]] = TaskTable(cast("Poller", poller), steppers, wake, lambda _: None)
    task = _Task()
    table.add(task, Interest.READ, None)
    return table, task


def test_sweep_by_a_step_wakes_another_worker() -> None:
    """Its own may wait for the tasks that it has swept."""
    woken: list[bool] = []
    table, _ = with_waiting(lambda: woken.append(True), (threading.get_ident(),))
    assert (table.sweep(lambda _: False, None), woken) == (0, [])
    assert (table.sweep(lambda _: True, None), woken) == (1, [True])


def test_sweep_owns_a_task_once_the_call_that_armed_it_has_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, task = with_waiting()
    table.arming.add(FD)
    sleeps: list[float] = []

    def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        table.arming.discard(FD)

    monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=sleep))
    acts: list[set[int]] = []
    table.sweep(lambda _: True, lambda _: acts.append(table.arming.copy()))
    assert (sleeps, acts, list(table.queue)) == ([0], [set()], [(task, Reason.RESUMED)])


def test_deadline_does_not_take_a_task_whose_arming_has_not_returned() -> None:
    table, task = with_waiting()
    deadline = table.deadlines[id(task)] = Deadline(0.0, FD, 1.0)
    table.arming.add(FD)
    assert not table.claim_overdue(id(task), deadline)
    assert (table.armed, list(table.queue)) == ({FD: task}, [])
    table.arming.discard(FD)
    assert table.claim_overdue(id(task), deadline)
    assert list(table.queue) == [(task, Reason.DEADLINE)]


def test_deadline_of_a_task_that_had_the_number_before_is_not_met() -> None:
    table, task = with_waiting()
    assert not table.claim_overdue(1, Deadline(0.0, FD, 1.0))
    assert list(table.queue) == [(task, Reason.RESUMED)]


def test_table_is_not_closed_while_a_sweep_goes_on() -> None:
    table, _ = with_waiting()
    with table._claims:
        assert not table.refuse_more(0.01)
    assert table.refuse_more(0.01)
