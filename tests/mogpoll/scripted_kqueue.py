"""A kernel with kqueues that does what a test says: no sockets, no threads, no surprises."""

from __future__ import annotations

import os
from typing import NamedTuple

READ, WRITE, TIMER = -1, -2, -7


class Change(NamedTuple):
    """A kevent, in the order of the arguments of `select.kevent`."""

    ident: int
    filter: int = READ
    flags: int = 1
    fflags: int = 0
    data: int = 0
    udata: int = 0


class ScriptedKernel:
    """Looks like the part of `select` that deals with kqueue, and is its own only queue.

    `calls` is every `control` call: the changes, and how many events it had room for.
    `queue` is what the next waits return, one each. `refusals` are the errors of the next
    changes, None for one that succeeds.
    """

    KQ_FILTER_READ, KQ_FILTER_WRITE, KQ_FILTER_TIMER = READ, WRITE, TIMER
    KQ_EV_ADD, KQ_EV_DELETE, KQ_EV_ONESHOT = 0x1, 0x2, 0x10
    KQ_EV_EOF, KQ_EV_ERROR = 0x8000, 0x4000

    kevent = Change

    def __init__(self) -> None:
        self.calls: list[tuple[list[Change], int]] = []
        self.queue: list[Change] = []
        self.refusals: list[int | None] = []
        self.closed = False

    def kqueue(self) -> ScriptedKernel:
        return self

    def control(
        self, changes: list[Change] | None, room: int, timeout: float | None = None
    ) -> list[Change]:
        if self.closed:
            raise ValueError("I/O operation on closed kqueue object")
        self.calls.append((list(changes or []), room))
        for _ in changes or []:
            number = self.refusals.pop(0) if self.refusals else None
            if number is not None:
                raise OSError(number, os.strerror(number))
        if room and self.queue:
            return [self.queue.pop(0)]
        return []

    def close(self) -> None:
        self.closed = True

    def armings(self) -> list[Change]:
        """Return every change that armed something."""
        return [
            change
            for changes, _ in self.calls
            for change in changes
            if change.flags & self.KQ_EV_ADD
        ]

    def deliver(self, arming: Change, flags: int = 0) -> None:
        """Put the event of an arming into the queue."""
        self.queue.append(arming._replace(flags=flags))
