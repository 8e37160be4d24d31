"""The table of tasks, at moments between two of its lines."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, cast

import pytest

from mogpoll import AlreadyRegistered, Interest, Next, NotPollable, Poller
from mogpoll.pool.step import Task
from mogpoll.pool.table import TaskTable

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
