"""Threads that use a pool, and the claim about the steps of its tasks.

The source below is compiled as the pool's is: `self` is the pool's table, or the loop in `work`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from mogpoll.pool.step import Next
from tests.mogpoll.explorer.kernels import CLOSED, READABLE, SILENT, SPENT, Choice, Kernel
from tests.mogpoll.explorer.machine import Blocked, Violation

# Calls of `claim` that are a step of their own, or begin the step of what follows: others belong
# to the step before them.
SHARED = frozenset({"begin", "bury", "take_parked", "open"})
JOINED = frozenset({"ask", "end"})

SOURCE = """
def notify(self):
    while True:
        task, is_promised = claim.ask(NOTIFIED)
        if task is None:
            return
        is_kept = self.mark(task, NOTIFIED)
        claim.has_returned(task, NOTIFIED, is_kept, is_promised)

def notify_once(self):
    task, is_promised = claim.ask(NOTIFIED)
    if task is None:
        return
    is_kept = self.mark(task, NOTIFIED)
    claim.has_returned(task, NOTIFIED, is_kept, is_promised)

def close(self):
    task, is_promised = claim.ask(CLOSE)
    if task is None:
        return
    is_kept = self.mark(task, CLOSE)
    claim.has_returned(task, CLOSE, is_kept, is_promised)

def add(self):
    while True:
        task = claim.open()
        if task is None:
            return
        try:
            self.add(task, READ, None)
        except OSError:
            claim.has_kept(task)
        else:
            claim.has_given(task)

def add_again(self):
    task, _ = claim.ask(None)
    if task is None:
        return
    try:
        self.add(task, READ, None)
    except OSError:
        return
    claim.has_given_again(task)

def resume(self):
    while True:
        task = claim.take_parked()
        self.put(task, RESUMED)

def work(self):
    self._serve(worker, None)

def step(self, task, workspace):
    claim.begin(task)
    return claim.end(task)

def bury(self, task):
    claim.bury(task)
"""

FUNCTIONS = (
    "notify",
    "notify_once",
    "close",
    "add",
    "add_again",
    "resume",
    "work",
    "step",
    "bury",
)


class Task:
    """What is stepped; its `step` and `close` are in the source above."""

    def __init__(self, fd: int, key: int) -> None:
        self.fd, self.key = fd, key

    def fileno(self) -> int:
        return self.fd

    def step(self, workspace: object) -> Next:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"task {self.key}"


class State(Enum):
    """Where a task is."""

    OUTSIDE = "outside"
    # Its `add` has begun.
    COMING = "coming"
    INSIDE = "inside"
    CLOSED = "closed"


class Record(NamedTuple):
    """What has happened to a task."""

    state: State
    # Whether a call of `notify` has begun since the last step did.
    is_asked: bool = False
    # Whether a call of `close` has begun, and how many steps may begin once it has returned.
    is_to_close: bool = False
    steps_left: int | None = None
    # Whether a call has said that it is not in the pool.
    is_refused: bool = False
    is_in_step: bool = False
    is_parked: bool = False
    verdict: Next = Next.READ


class Steps:
    """Each `notify` is followed by a step, one at a time, and by none once the task is closed.

    A step drains its descriptor, and returns any of `verdicts`. Data arrives for each once, or
    again and again if `is_endless`. If `is_exact`, each step has a cause.
    """

    def __init__(
        self,
        kernel: Kernel,
        choice: Choice,
        tasks: list[Task],
        verdicts: tuple[Next, ...],
        *,
        is_endless: bool,
        is_exact: bool,
    ) -> None:
        self._kernel, self._choice, self._verdicts = kernel, choice, verdicts
        self.tasks = tasks
        self._drained = SILENT if is_endless else SPENT
        self._is_exact = is_exact
        # The first task of each number is in the pool.
        self.of: dict[Task, Record] = {}
        for task in tasks:
            is_first = task.fd not in kernel.files
            self.of[task] = Record(State.INSIDE if is_first else State.OUTSIDE)
            kernel.files[task.fd] = SILENT

    def _note(self, task: Task, **changes: Any) -> None:
        self.of[task] = self.of[task]._replace(**changes)

    def ask(self, wanted: Next | None) -> tuple[Task | None, bool]:
        """Choose a task for a call that begins, or to make none any more."""
        task: Task | None = self._choice.among([None, *self.tasks])
        if task is None or self.of[task].state not in (State.COMING, State.INSIDE):
            return task, False
        if wanted is not None:
            self._note(task, **{"is_to_close" if wanted is Next.CLOSE else "is_asked": True})
        return task, self.of[task].state is State.INSIDE

    def has_returned(self, task: Task, wanted: Next, is_kept: bool, is_promised: bool) -> None:
        if self.of[task].state is State.CLOSED:
            return
        if not is_kept and is_promised:
            self._note(task, is_refused=True)
        elif not is_kept:
            # It was on its way, and is perhaps.
            self._note(task, is_asked=False, is_to_close=False)
        elif wanted is Next.CLOSE:
            self._note(task, steps_left=1)

    def open(self) -> Task | None:
        """Choose a task whose number is free and which gets it, or to add none any more."""
        free = [
            task
            for task, record in self.of.items()
            if record.state is State.OUTSIDE and self._kernel.files[task.fd] == CLOSED
        ]
        if not free:
            raise Blocked(waits=True)
        task: Task | None = self._choice.among([None, *free])
        if task is not None:
            self._kernel.files[task.fd] = SILENT
            self._note(task, state=State.COMING)
        return task

    def has_given(self, task: Task) -> None:
        """`add` has returned; the task may be closed already."""
        if self.of[task].state is State.COMING:
            self._note(task, state=State.INSIDE)

    def has_kept(self, task: Task) -> None:
        """`add` has failed: the task is its caller's, who closes its number, and may try again."""
        record = self.of[task]
        if record._replace(is_asked=False, is_to_close=False) != Record(State.COMING):
            raise Violation(f"{task} could not be added, and {record}")
        self.of[task] = Record(State.OUTSIDE)
        self._kernel.close(task.fd)

    def has_given_again(self, task: Task) -> None:
        if self.of[task].state is State.INSIDE:
            raise Violation(f"{task} was added twice")

    def take_parked(self) -> Task:
        parked = [task for task in self.tasks if self.of[task].is_parked]
        if not parked:
            raise Blocked(waits=True)
        task: Task = self._choice.among(parked)
        self._note(task, is_parked=False)
        return task

    def begin(self, task: Task) -> None:
        record = self.of[task]
        if record.state in (State.OUTSIDE, State.CLOSED):
            raise Violation(f"a step of {task}, which is {record.state.value}")
        if record.is_in_step:
            raise Violation(f"a step of {task} in another")
        if record.is_parked:
            raise Violation(f"a step of {task}, which is parked")
        if record.is_refused:
            raise Violation(f"a step of {task} after a call said that it is not in the pool")
        if record.steps_left == 0:
            raise Violation(f"a second step of {task} after a call has closed it")
        is_readable = self._kernel.files[task.fd] == READABLE
        if self._is_exact and not (record.is_asked or is_readable):
            raise Violation(f"a step of {task} without a cause")
        if is_readable:
            self._kernel.files[task.fd] = self._drained
        steps_left = None if record.steps_left is None else 0
        self._note(task, is_asked=False, is_in_step=True, steps_left=steps_left)

    def end(self, task: Task) -> Next:
        verdict: Next = self._choice.among(list(self._verdicts))
        self._note(task, is_in_step=False, is_parked=verdict is Next.PARKED, verdict=verdict)
        return verdict

    def bury(self, task: Task) -> None:
        record = self.of[task]
        if record.state is State.CLOSED or record.is_in_step or record.is_parked:
            raise Violation(f"{task} is closed while {record}")
        self.of[task] = Record(State.CLOSED)
        self._kernel.close(task.fd)

    def check_rest(self) -> None:
        for task, record in self.of.items():
            if record.is_parked:
                continue
            if record.is_asked:
                raise Violation(f"{task} was notified, and no step comes")
            if record.is_to_close:
                raise Violation(f"{task} was to be closed, and is not")
            if record.is_refused:
                raise Violation(f"{task} was refused, and is in the pool")
            is_readable = self._kernel.files[task.fd] == READABLE
            if record.state is State.INSIDE and record.verdict is Next.READ and is_readable:
                raise Violation(f"{task} waits and is ready, and no step comes")
