"""Devices and their slots: a slow disk holds its own slots, and no other's.

Each device has so many slots for work on its disk. A step that is about to touch the disk
enters the device without waiting. When all slots are taken, its connection is parked in
the device's own line, and the worker goes on with other customers; whoever leaves the
device hands the slot to the head of that line. A disk that hangs for ever therefore holds
as many threads as it has slots, however many clients ask for it.

How many slots that are is for `mogstored.storage.shares` to say: some are the device's own,
and more may be borrowed while no other device has borrowed them. Who comes while others
wait goes to the end of the line, even if there is something to borrow: the first has it.

What does not lie on a device shares one more set of slots.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from mogstored.storage.shares import MOST, Lent, Shares

_DEVICE_NAME = re.compile(rb"dev(?:0|[1-9][0-9]{0,7})")
_MAX_DEVICE = 16_777_215

# Nothing to borrow.
_PLAIN = Shares(MOST, 0, MOST)


class Parkable(Protocol):
    """A task that waits for a slot; `has_slot` is set when it was given one."""

    has_slot: bool

    def fileno(self) -> int:
        """Return the descriptor of its client's socket."""

    def forget(self) -> None:
        """Become a task that is closed by its next step, which touches no disk."""


# Given the parked task that may go on.
Resume = Callable[[Any], None]


class _Place(NamedTuple):
    """A place in the line."""

    task: Parkable
    has_nothing: bool
    """Whether nothing of the task lies on the device yet, so that it can just be dropped."""


class Device:
    """One device, or all that is no device.

    **Threads:** any. `_lock` guards the counts and the line; it is held for a few
    instructions only. `departures` is read by others without it.
    """

    def __init__(self, name: bytes, shares: Shares, lent: Lent, resume: Resume) -> None:
        self.name = name
        self.departures = 0
        """How often a slot was left."""
        self._own = self._free = shares.own
        self._most = shares.most
        self._lent = lent
        self._borrowed = 0
        self._resume = resume
        self._line: deque[_Place] = deque()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return self.name.decode() or "no device"

    def enter(self, task: Parkable, has_nothing: bool = False) -> bool:
        """Take a slot for `task`, or park it; False says that it is parked.

        A parked task belongs to the line from here on: its owner must not touch it again
        and returns PARKED at once. It is resumed with `has_slot` set, and enters again
        without taking a second slot. One that `has_nothing` on the device yet may be
        forgotten instead, when its client has gone.
        """
        if self.try_enter(task):
            return True
        with self._lock:
            self._line.append(_Place(task, has_nothing))
            admitted = self._admit()
        if admitted and admitted[-1] is task:
            del admitted[-1]
            self._let_go_on(admitted)
            return True
        self._let_go_on(admitted)
        return False

    def try_enter(self, task: Parkable) -> bool:
        """Take one of the device's own slots, or return False without parking."""
        if task.has_slot:
            task.has_slot = False
            return True
        with self._lock:
            # There is no line while one of these is free.
            if self._free > 0:
                self._free -= 1
                return True
            return False

    def leave(self) -> None:
        """Give the slot back, or on to the first in the line."""
        with self._lock:
            self.departures += 1
            if not (self._borrowed or self._line):
                self._free += 1
                return
            if self._borrowed:
                self._borrowed -= 1
                self._lent.give()
            else:
                self._free += 1
            admitted = self._admit()
        self._let_go_on(admitted)

    def adjust(self, shares: Shares) -> None:
        """Have so many slots from now on; those that are taken are left in their time."""
        with self._lock:
            self._free += shares.own - self._own
            self._own, self._most = shares.own, shares.most
            admitted = self._admit()
        self._let_go_on(admitted)

    def is_wanted(self) -> bool:
        """Say whether somebody waits for a slot, or another device might want to borrow one."""
        with self._lock:
            return bool(self._line or self._borrowed)

    def load(self) -> Load:
        """Say how many slots are taken, how many of them borrowed, and how many wait."""
        with self._lock:
            return Load(self._held(), self._borrowed, len(self._line))

    def parked(self) -> list[Parkable]:
        """Return the tasks in the line that could be forgotten; they stay the line's own."""
        with self._lock:
            return [place.task for place in self._line if place.has_nothing]

    def forget(self, gone: Container[Parkable]) -> int:
        """Forget the tasks that are `gone` and still in the line; return their number."""
        with self._lock:
            forgotten = [p.task for p in self._line if p.has_nothing and p.task in gone]
            if forgotten:
                kept = (p for p in self._line if not (p.has_nothing and p.task in gone))
                self._line = deque(kept)
        # They left the line with nobody else, so they are ours.
        for task in forgotten:
            task.forget()
            self._resume(task)
        return len(forgotten)

    def _admit(self) -> list[Parkable]:
        """Take slots for the first in the line; the caller holds `_lock`, and lets them go on."""
        admitted = []
        while self._line and self._take():
            admitted.append(self._line.popleft().task)
        return admitted

    def _take(self) -> bool:
        if self._free > 0:
            self._free -= 1
            return True
        if self._held() < self._most and self._lent.take():
            self._borrowed += 1
            return True
        return False

    def _held(self) -> int:
        return self._own - self._free + self._borrowed

    def _let_go_on(self, admitted: Iterable[Parkable]) -> None:
        for task in admitted:
            task.has_slot = True
            self._resume(task)


class Load(NamedTuple):
    """What a device has to do."""

    held: int
    borrowed: int
    waiting: int


class Devices:
    """The devices of a docroot, by the first component of a path.

    A name becomes known when the docroot is listed or when a file on it was opened, so
    clients cannot make up devices.

    **Threads:** any. `_known` is touched by single dict operations; `_shares` is replaced
    as a whole.
    """

    def __init__(
        self,
        docroot_fd: int,
        resume: Resume,
        shares: Shares = _PLAIN,
        lent: Lent | None = None,
    ) -> None:
        self._shares = shares
        self._lent = lent or Lent(shares.lent)
        self._resume = resume
        self._elsewhere = self._make(b"")
        self._known: dict[bytes, Device] = {}
        for name in os.listdir(docroot_fd):
            self.learn(os.fsencode(name))

    def of(self, path: bytes) -> Device:
        """Return the device on which `path` lies, or the one that stands for elsewhere."""
        device = self._known.get(path.partition(b"/")[0])
        if device is not None:
            return device
        return self._known.get(device_name(path), self._elsewhere)

    def learn(self, path: bytes) -> None:
        """Note the device of `path`, which exists."""
        name = device_name(path)
        if name not in self._known and device_number(name) is not None:
            self._known.setdefault(name, self._make(name))

    def count(self) -> int:
        """Return how many devices are known."""
        return len(self._known)

    def everything(self) -> list[Device]:
        """Return all devices, and the one that stands for elsewhere."""
        return [*self._known.copy().values(), self._elsewhere]

    def adjust(self, shares: Shares) -> None:
        """Let each device have so many slots from now on."""
        self._shares = shares
        for device in self.everything():
            device.adjust(shares)

    def _make(self, name: bytes) -> Device:
        return Device(name, self._shares, self._lent, self._resume)


def device_name(path: bytes) -> bytes:
    """Return the first component of `path`, which is a device's name if it lies on one.

    `./dev1/x` lies on dev1 as `dev1/x` does, and so does `dev1`.
    """
    name = path.partition(b"/")[0]
    if name and name != b".":
        return name
    parts = (part for part in path.split(b"/") if part and part != b".")
    return next(parts, b"")


# Asked for with each change of a file.
@lru_cache(maxsize=1024)
def device_number(name: bytes) -> int | None:
    """Return N for `devN`, a number without leading zeros; None if no device has that name."""
    if _DEVICE_NAME.fullmatch(name) is None:
        return None
    number = int(name[3:])
    return number if number <= _MAX_DEVICE else None
