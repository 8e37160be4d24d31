"""The slots of a device: a slow disk holds its own, and no other's.

A device has so many slots for work on its disk. A step that is about to touch the disk takes
one without waiting. When all are taken, its connection is parked in the device's own queue, and
the worker goes on with other clients; a slot that is given back goes to the head of that
queue. So a disk that hangs for ever holds as many threads as it has slots, however many clients
ask for it.

How many slots that are is for `mogstored.devices.shares`: some are the device's own, and more
can be borrowed while no other device has them. A borrowed slot goes back when it is left, and
at once to the queue that has waited longest for one. A request that comes while others wait
goes to the end of the queue, even if there is something to borrow.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from time import monotonic
from typing import Any, NamedTuple, Protocol

from mogpoll import Next
from mogstored.devices.shares import SharedSlots, Shares
from mogstored.observability.histogram import DEVICE_BOUNDS_S, Histogram, HistogramState

# A step that has held its slot for this many seconds leaves it to the queue, and goes on in its
# next turn. Reading or writing a limited amount of data may end a turn sooner.
TURN_S = 0.05


# What a slot is held for; their names as metrics have them.
READ, WRITE, DELETE, DIGEST = range(4)
OPERATIONS = ("read", "write", "delete", "digest")
_BUCKETS = len(DEVICE_BOUNDS_S) + 1
_FIRST_BOUND_S = DEVICE_BOUNDS_S[0]


class Parkable(Protocol):
    """A task that can wait for a slot; `has_slot` says that it was given one.

    To `waited_s` is added how long it has waited.
    """

    has_slot: bool
    waited_s: float

    def fileno(self) -> int:
        """Return the descriptor of its client's socket."""

    def send_ahead(self) -> None:
        """Send what may come before the answer: a client that has closed answers with a reset.

        Does nothing the second time. Must not block.
        """

    def cancel(self) -> None:
        """Become a task that is closed by its next step, which touches no disk."""

    def leave_behind(self) -> Callable[[], None]:
        """Do the same; return what must still be done on the device, with a slot of it."""


# Given the parked task that may go on.
Resume = Callable[[Any], None]


class Load(NamedTuple):
    """Slots that are taken, how many of them are borrowed, and tasks that wait for one."""

    held: int
    borrowed: int
    waiting: int


class SlotCounts(NamedTuple):
    """What a device has to do now, and what it has done.

    A turn is a slot from its taking to its return; long requests take several.
    """

    load: Load
    oldest_wait_s: float
    wait: HistogramState
    """How long turns waited for their slot."""
    operations: dict[str, HistogramState]
    """How long turns held it, by operation; those that have occurred."""


class Waiter(NamedTuple):
    """A task in the queue."""

    task: Parkable
    has_nothing: bool
    """Whether nothing of the task lies on the device yet, so that it can just be dropped."""
    since: float
    """When it was parked, on the monotonic clock."""


class _Leftover:
    """What a dropped task has left to do on its device, in its place in the queue.

    A file that is open there must be closed, and one that is not complete removed.
    """

    def __init__(self, slots: Slots, clean_up: Callable[[], None]) -> None:
        self._slots = slots
        self._clean_up = clean_up
        self.has_slot = False
        self.waited_s = 0.0

    def fileno(self) -> int:
        # It waits for no descriptor.
        return -1

    def step(self, _buffers: object) -> Next:
        since = monotonic()
        try:
            self._clean_up()
        finally:
            self._slots.leave(WRITE, monotonic() - since)
        return Next.PARKED

    def close(self) -> None:
        """Called when the pool ends first; the process ends with it."""

    def send_ahead(self) -> None:
        raise AssertionError("not a client")

    def cancel(self) -> None:
        raise AssertionError("not a client")

    def leave_behind(self) -> Callable[[], None]:
        raise AssertionError("not a client")


class Slots:
    """The slots of one device, and the queue for them.

    **Threads:** any. `_lock` guards the counts and the queue; it is held for a few
    instructions only.
    """

    def __init__(self, shares: Shares, shared: SharedSlots, resume: Resume) -> None:
        self._own = self._free = shares.own
        self._most = shares.most
        self._shared = shared
        self._borrowed = 0
        self._resume = resume
        self._queue: deque[Waiter] = deque()
        self._lock = threading.Lock()
        # For each operation the turns by bucket, and the sum of their seconds.
        self._turns: list[list[float]] = [[*([0] * _BUCKETS), 0.0] for _ in OPERATIONS]
        # Of turns that were parked first. All others have waited for nothing.
        self._waits: Histogram | None = None

    def enter(self, task: Parkable, has_nothing: bool = False) -> bool:
        """Take a slot for `task`, or park it; False says that it is parked.

        A parked task belongs to the queue from here on: its owner must not touch it again
        and returns PARKED at once. It is resumed with `has_slot` set, and enters again
        without taking a second slot. When its client has gone it may be dropped instead;
        unless it `has_nothing` on the device yet, what it leaves there keeps its place.
        """
        if self.try_enter(task):
            return True
        with self._lock:
            self._queue.append(Waiter(task, has_nothing, monotonic()))
            admitted = self._admit()
        if admitted and admitted[-1] is task:
            del admitted[-1]
            self._resume_all(admitted)
            return True
        self._resume_all(admitted)
        return False

    def try_enter(self, task: Parkable) -> bool:
        """Take one of the device's own slots, or return False without parking."""
        if task.has_slot:
            task.has_slot = False
            return True
        # By hand, here and in `leave`: `with` costs once again what the lock does.
        self._lock.acquire()
        try:
            # The queue is empty while one of these is free.
            if self._free > 0:
                self._free -= 1
                return True
            return False
        finally:
            self._lock.release()

    def leave(self, operation: int, seconds: float) -> None:
        """Give the slot back: to the queue, to the shared slots, or to the device itself.

        The turn is counted for `operation`, which has held the slot for so many seconds.
        """
        # Measured: the comparison is five times as fast as the search.
        bucket = 0 if seconds <= _FIRST_BOUND_S else bisect_left(DEVICE_BOUNDS_S, seconds)
        self._lock.acquire()
        try:
            cell = self._turns[operation]
            cell[bucket] += 1
            cell[-1] += seconds
            if not (self._borrowed or self._queue):
                self._free += 1
                return
            gives = self._borrowed > 0
            if gives:
                self._borrowed -= 1
                self._shared.give()
            else:
                self._free += 1
            admitted = self._admit()
        finally:
            self._lock.release()
        self._resume_all(admitted)
        if gives:
            self._shared.hand_out()

    def borrow(self) -> None:
        """Let the head of the queue have a shared slot taken for it, or give the slot back.

        The caller goes on handing out.
        """
        admitted = []
        with self._lock:
            if self._queue and self._held() < self._most:
                self._borrowed += 1
                admitted = [self._pop(), *self._admit()]
            else:
                self._shared.give()
        self._resume_all(admitted)

    def resize(self, shares: Shares) -> None:
        """Have so many slots from now on; slots in use are returned as usual."""
        with self._lock:
            self._free += shares.own - self._own
            self._own, self._most = shares.own, shares.most
            admitted = self._admit()
        self._resume_all(admitted)
        self._shared.hand_out()

    def is_wanted(self) -> bool:
        """Say whether a task waits for a slot, or another device may want one that is borrowed."""
        with self._lock:
            return bool(self._queue or self._borrowed)

    def load(self) -> Load:
        """Return what the device has to do now."""
        with self._lock:
            return self._load()

    def departures(self) -> int:
        """Return how often a slot was left."""
        with self._lock:
            return self._departures()

    def counts(self) -> SlotCounts:
        """Return what the device has to do, and what it has done."""
        with self._lock:
            load = self._load()
            since = self._queue[0].since if self._queue else None
            turns = [cell.copy() for cell in self._turns]
            waits = (self._waits or Histogram(DEVICE_BOUNDS_S)).state()
            # Slots that are held now were waited for, too.
            at_once = self._departures() + load.held - waits.total
        operations = {
            name: HistogramState(tuple(map(int, counts)), seconds)
            for name, (*counts, seconds) in zip(OPERATIONS, turns, strict=True)
            if any(counts)
        }
        waits = HistogramState((waits.counts[0] + at_once, *waits.counts[1:]), waits.seconds)
        oldest = 0.0 if since is None else monotonic() - since
        return SlotCounts(load, oldest, waits, operations)

    def parked(self) -> list[Parkable]:
        """Return the tasks in the queue, which goes on owning them."""
        with self._lock:
            return [each.task for each in self._queue if not isinstance(each.task, _Leftover)]

    def send_ahead(self, chosen: AbstractSet[Parkable]) -> None:
        """Have the `chosen` tasks that are still in the queue send ahead."""
        # Under the lock none of them is resumed, so nothing else is sent to their clients.
        with self._lock:
            for waiter in self._queue:
                if waiter.task in chosen:
                    waiter.task.send_ahead()

    def cancel(self, gone: AbstractSet[Parkable]) -> int:
        """Drop the tasks that are `gone` and still in the queue; return their number."""
        return self._drop(lambda waiter: waiter.task in gone)

    def expire(self, waited_s: float, take: Callable[[Any], bool]) -> int:
        """Drop the tasks that have waited for so long and that `take` accepts.

        `take` owns the tasks that it accepts. Returns their number.
        """
        before = monotonic() - waited_s
        return self._drop(lambda waiter: waiter.since < before and take(waiter.task))

    def _drop(self, chosen: Callable[[Waiter], bool]) -> int:
        dropped: list[Parkable] = []
        with self._lock:
            queue, self._queue = self._queue, deque()
            for waiter in queue:
                if isinstance(waiter.task, _Leftover) or not chosen(waiter):
                    self._queue.append(waiter)
                    continue
                dropped.append(waiter.task)
                if waiter.has_nothing:
                    waiter.task.cancel()
                else:
                    leftover = _Leftover(self, waiter.task.leave_behind())
                    self._queue.append(Waiter(leftover, False, waiter.since))
        for task in dropped:
            self._resume(task)
        return len(dropped)

    def _admit(self) -> list[Parkable]:
        """Take slots for the head of the queue; the caller, holding `_lock`, resumes the tasks."""
        admitted = []
        while self._queue and self._take():
            admitted.append(self._pop())
        return admitted

    def _pop(self) -> Parkable:
        """Take the head of the queue, which has waited long enough; the caller holds `_lock`."""
        task, _, since = self._queue.popleft()
        waited_s = monotonic() - since
        task.waited_s += waited_s
        if self._waits is None:
            self._waits = Histogram(DEVICE_BOUNDS_S)
        self._waits.add(waited_s)
        return task

    def _take(self) -> bool:
        if self._free > 0:
            self._free -= 1
            return True
        if self._held() < self._most and self._shared.take(self):
            self._borrowed += 1
            return True
        return False

    def _departures(self) -> int:
        """The caller holds `_lock`."""
        return sum(int(count) for *counts, _ in self._turns for count in counts)

    def _load(self) -> Load:
        """The caller holds `_lock`."""
        return Load(self._held(), self._borrowed, len(self._queue))

    def _held(self) -> int:
        return self._own - self._free + self._borrowed

    def _resume_all(self, admitted: Iterable[Parkable]) -> None:
        for task in admitted:
            task.has_slot = True
            self._resume(task)
