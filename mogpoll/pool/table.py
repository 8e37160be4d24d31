"""Where the tasks of a pool are: waiting in the poller, queued for a step, or with an owner.

A task that waits is in `armed`, and the thread that takes it out owns it: the worker that got its
event, or a claimant that steps it without one.

A thread that notifies a task marks it, then takes it out of `armed` if it is there. The worker
that has stepped it puts it into `armed`, then looks for a mark. The operations on one dict follow
each other, and each sees what was done before those that precede it. So no mark is lost: if the
task was not in `armed` yet, the mark was made before it was put in, and the worker sees it. A
task loses its mark when a step begins, since that is the step asked for.

Marks and members go by `id`: tasks need not be hashable, and a number of a descriptor may belong
to the next task when a late claimant looks. A claimant holds the task, so its `id` is its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterator
from typing import Generic, NamedTuple

from mogpoll.errors import AlreadyRegistered
from mogpoll.interest import Interest
from mogpoll.poller import Poller
from mogpoll.pool.step import Next, PoolStopped, Reason, T


class Deadline(NamedTuple):
    """When a task that waits since `set_deadline` is stepped, on the monotonic clock."""

    at: float
    fd: int
    retry_s: float
    """Until the next try, while the step that has set it still runs."""


class TaskTable(Generic[T]):
    """The tasks of a pool.

    `wake` wakes a worker, `steppers` are the identities of the workers, and `refuse` closes a task
    that there is no memory to queue.

    **Threads:** any. `_claims` serialises additions and sweeps. `_is_closed` is set before it is
    taken, and read by who holds it. The public tables are used by single operations, atomic with
    and without the interpreter lock.
    """

    def __init__(
        self,
        poller: Poller,
        steppers: Container[int],
        wake: Callable[[], None],
        refuse: Callable[[T], None],
    ) -> None:
        self._poller = poller
        self._steppers, self._wake, self._refuse = steppers, wake, refuse
        self.armed: dict[int, T] = {}
        # Descriptors whose task is in `armed`, and whose arming has not returned yet.
        self.arming: set[int] = set()
        # Tasks to step, ready or not.
        self.queue: deque[tuple[T, Reason]] = deque()
        # The descriptor of each task, from `add` to its close, by its identity.
        self.members: dict[int, int] = {}
        # The descriptors of all tasks.
        self.numbers: set[int] = set()
        # What is asked for by `notify` and `close`: NOTIFIED or CLOSE.
        self.marks: dict[int, Next] = {}
        # Those in force: a step that begins removes its own.
        self.deadlines: dict[int, Deadline] = {}
        self._claims = threading.Lock()
        self._is_closed = False

    def add(self, task: T, interest: Interest, prepare: Callable[[int], object] | None) -> None:
        """Register a task and arm it; `prepare` is called with its descriptor before.

        **Raises:** `PoolStopped`, `TypeError`, and as `Poller.add` and `prepare`; the task stays
        the caller's.
        """
        _check(task)
        fd, key = task.fileno(), id(task)
        with self._claims:
            if self._is_closed:
                raise PoolStopped(f"the pool is stopped and does not take {task!r}")
            # Before it can be seen: the owner of the number would put its own task in its place.
            if key in self.members or fd in self.numbers:
                raise AlreadyRegistered(fd)
            is_armed = False
            try:
                self.arming.add(fd)
                if prepare is not None:
                    prepare(fd)
                self.members[key] = fd
                self.numbers.add(fd)
                self.armed[fd] = task
                is_armed = True
                self._poller.add(fd, interest)
            except BaseException:
                if self._take_back(fd, task) or not is_armed:
                    self.drop(key)
                    raise
            finally:
                self.arming.discard(fd)
        self.claim_if_marked(fd, task)

    def _take_back(self, fd: int, task: T) -> bool:
        """Take a task out that could not be armed; False if another thread has taken it.

        An event or a claim of the task that had the number before may come so late. Then it has
        an owner, who closes it when it cannot be armed.
        """
        return self.armed.pop(fd, None) is not None

    def drop(self, key: int) -> None:
        """Remove a task that its owner closes."""
        fd = self.members.pop(key, -1)
        self.numbers.discard(fd)
        self.deadlines.pop(key, None)
        # After it: a thread that marks the task looks again whether it is a member.
        self.marks.pop(key, None)

    def mark(self, task: T, wanted: Next) -> bool:
        """Step or close a task soon; return False if it is not in the pool."""
        key = id(task)
        fd = self.members.get(key)
        if fd is None:
            return False
        if wanted is Next.CLOSE:
            self.marks[key] = wanted
        else:
            self.marks.setdefault(key, wanted)
        if key not in self.members:
            self.marks.pop(key, None)
            return False
        # The thread that arms it now looks for the mark afterwards. `add` may still fail: it must
        # not lose the task to a claimant.
        if fd not in self.arming and self.claim_marked(fd, key):
            # Even in a worker: its step may block.
            self._wake()
        return True

    def claim_if_marked(self, fd: int, task: T) -> None:
        """Queue a task again that was marked while it was stepped; for who has armed it."""
        if id(task) in self.marks:
            self.claim_marked(fd, id(task))

    def claim_marked(self, fd: int, key: int) -> bool:
        """Queue the task with a mark if it waits; otherwise its worker finds the mark.

        The number may belong to another task by now, which loses nothing by a step.
        """
        task = self.armed.pop(fd, None)
        if task is None:
            return False
        self.put(task, Reason.NOTIFIED if id(task) == key else Reason.RESUMED)
        return True

    def put(self, task: T, reason: Reason) -> None:
        """Queue a task for a step; the caller gives up ownership.

        In a step, its own thread runs the task after that step.
        """
        try:
            self.queue.append((task, reason))
        except MemoryError:
            self._refuse(task)
            return
        if threading.get_ident() not in self._steppers:
            self._wake()

    def sweep(self, chosen: Callable[[T], bool], act: Callable[[T], None] | None) -> int:
        """Queue the waiting tasks that `chosen` accepts, after `act`; return their number."""
        claimed = 0
        try:
            with self._claims:
                # Copying a dict is atomic without the interpreter lock; listing its items is not.
                for fd, seen in self.armed.copy().items():
                    if not chosen(seen):
                        continue
                    task = self.armed.pop(fd, None)
                    if task is None:
                        continue
                    claimed += 1
                    self.await_arming(fd)
                    try:
                        if act is not None and task is seen:
                            act(task)
                    finally:
                        # Re-arming would not step a socket that is full and silent. The event
                        # of its last arming finds no task, and is dropped.
                        self.put(task, Reason.RESUMED)
        finally:
            if claimed:
                # Even in a worker: its step may wait for the tasks it has woken.
                self._wake()
        return claimed

    def claim_overdue(self, key: int, deadline: Deadline) -> bool:
        """Queue a task whose deadline has passed, if it waits; False if it does not yet."""
        if deadline.fd in self.arming:
            return False
        task = self.armed.pop(deadline.fd, None)
        if task is None:
            return False
        # Owned now, so no step can begin: what is in force stays so.
        is_due = id(task) == key and self.deadlines.get(key) is deadline
        self.put(task, Reason.DEADLINE if is_due else Reason.RESUMED)
        return is_due

    def await_arming(self, fd: int) -> None:
        """Wait until the call that arms `fd` has returned.

        If its claimant closed the task before, that call could fail, or re-arm another task
        that has the number by then.
        """
        while fd in self.arming:
            time.sleep(0)

    def refuse_more(self, timeout_s: float | None) -> bool:
        """Let `add` raise from now on; return False if one that has begun does not end in time."""
        self._is_closed = True
        if not self._claims.acquire(timeout=-1 if timeout_s is None else timeout_s):
            return False
        self._claims.release()
        return True

    def take_left(self) -> Iterator[T]:
        """Take out what waits and what is queued, once there are no workers."""
        for fd in self.armed.copy():
            task = self.armed.pop(fd, None)
            if task is not None:
                yield task
        while self.queue:
            try:
                yield self.queue.popleft()[0]
            except IndexError:  # another thread takes them, too
                return


def _check(task: object) -> None:
    for name in ("fileno", "step", "close"):
        if not callable(getattr(task, name, None)):
            raise TypeError(f"{task!r} is no task: it has no method {name}")
