"""Devices and their slots: a slow disk holds its own slots, and no other's.

Each device has so many slots for work on its disk. A step that is about to touch the disk
enters the device without waiting. When all slots are taken, its connection is parked in
the device's own line, and the worker goes on with other customers; whoever leaves the
device hands the slot to the head of that line. A disk that hangs for ever therefore holds
as many threads as it has slots, however many clients ask for it.

What does not lie on a device shares one more set of slots.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

DEFAULT_SLOTS = 10

_DEVICE_NAME = re.compile(rb"dev(?:0|[1-9][0-9]{0,7})")
_MAX_DEVICE = 16_777_215


class Parkable(Protocol):
    """A task that waits for a slot; `has_slot` is set when it was given one."""

    has_slot: bool


# Given the parked task that may go on.
Resume = Callable[[Any], None]


class Device:
    """One device, or all that is no device.

    **Threads:** any. `_lock` guards the count and the line; it is held for a few
    instructions only.
    """

    def __init__(self, name: bytes, slots: int, resume: Resume) -> None:
        self.name = name
        self._free = slots
        self._resume = resume
        self._line: deque[Parkable] = deque()
        self._lock = threading.Lock()

    def enter(self, task: Parkable) -> bool:
        """Take a slot for `task`, or park it; False says that it is parked.

        A parked task belongs to the line from here on: its owner must not touch it again
        and returns PARKED at once. It is resumed with `has_slot` set, and enters again
        without taking a second slot.
        """
        if self.try_enter(task):
            return True
        with self._lock:
            if not self._free:
                self._line.append(task)
                return False
            self._free -= 1
            return True

    def try_enter(self, task: Parkable) -> bool:
        """Do as `enter` does, but return False without parking when there is no slot."""
        if task.has_slot:
            task.has_slot = False
            return True
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            return False

    def leave(self) -> None:
        """Give the slot back, or on to the first in the line."""
        with self._lock:
            if not self._line:
                self._free += 1
                return
            task = self._line.popleft()
        task.has_slot = True
        self._resume(task)


class Devices:
    """The devices of a docroot, by the first component of a path.

    A name becomes known when the docroot is listed or when a file on it was opened, so
    clients cannot make up devices.

    **Threads:** any. `_known` is touched by single dict operations.
    """

    def __init__(self, docroot_fd: int, resume: Resume, slots: int = DEFAULT_SLOTS) -> None:
        self._slots = slots
        self._resume = resume
        self._elsewhere = Device(b"", slots, resume)
        self._known: dict[bytes, Device] = {}
        for name in os.listdir(docroot_fd):
            self.learn(os.fsencode(name))

    def of(self, path: bytes) -> Device:
        """Return the device on which `path` lies, or the one that stands for elsewhere."""
        return self._known.get(path.partition(b"/")[0], self._elsewhere)

    def learn(self, path: bytes) -> None:
        """Note the device of `path`, which exists."""
        name = path.partition(b"/")[0]
        if name not in self._known and is_device_name(name):
            self._known.setdefault(name, Device(name, self._slots, self._resume))


def is_device_name(name: bytes) -> bool:
    """Say whether `name` is that of a device: `dev` and a number without leading zeros."""
    return _DEVICE_NAME.fullmatch(name) is not None and int(name[3:]) <= _MAX_DEVICE
