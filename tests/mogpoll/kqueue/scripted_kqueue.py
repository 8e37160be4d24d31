"""A scripted kqueue, without sockets and threads."""

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
    """A `KqueueApi` that is its own only queue.

    `calls` records every `control` call: its changes and its room for events. `queue` holds the
    events of the next waits, one each. `refusals` holds the errors of the next changes, None
    for success.
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

    def fileno(self) -> int:
        # No file of this process: a script has no descriptor.
        return -1

    def close(self) -> None:
        self.closed = True

    def armings(self) -> list[Change]:
        """Return the changes that armed a filter."""
        return [
            change
            for changes, _ in self.calls
            for change in changes
            if change.flags & self.KQ_EV_ADD
        ]

    def deliver(self, arming: Change, flags: int = 0) -> None:
        """Queue the event of an arming."""
        self.queue.append(arming._replace(flags=flags))
