"""A kqueue that does what a BSD's does and libkqueue does not, for any number of threads.

It stands on Linux's epoll, which says when to look at a descriptor; what is registered, queued
and delivered follows the kernel named by its profile. All profiles share, unlike libkqueue:

- A queued knote that is added again keeps its place and gets the new udata (n02, n61).
- A reset is EV_EOF with the error in `fflags`, and the next read still fails with it (n04, n61).
- Closing a descriptor drops its filters, although a duplicate is open (n07, n61). The close is
  seen late, when the number is looked at.
- All waiters wake for an event, and one gets it (n19).
- With room for rows, failed changes and receipts are EV_ERROR rows, the rest goes on, and no
  event is taken by that call (n14).

Not shown: time (a timer fires at once), fork, order of waking. A stale one-shot arises when the
filter was looked at while the data was there: at EV_ADD, or in a `control` of any thread.
"""

from __future__ import annotations

import errno
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mogpoll.probe.kernel import HasFileno
from tests.mogpoll.kqueue import filters
from tests.mogpoll.kqueue.filters import READ, TIMER, WRITE, File, Seen
from tests.mogpoll.kqueue.profiles import Profile
from tests.mogpoll.kqueue.scripted_kqueue import Change

_ADD, _DELETE, _ONESHOT, _RECEIPT, _ERROR = 0x1, 0x2, 0x10, 0x40, 0x4000

# Of the file of a timer, which is none.
_NO_FILE: File = (-1, -1)
_NOTHING = Seen(False)


@dataclass(slots=True, eq=False)
class _Knote:
    """One registration: a pair of descriptor and filter."""

    change: Change
    file: File
    is_queued: bool = False
    is_lost: bool = False
    seen: Seen = _NOTHING


class ProfiledKqueue:
    """One queue; see `select.kqueue`.

    **Threads:** `_lock` guards everything; a waiter sleeps without it. `_left` counts waiters.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._lock = threading.RLock()
        self._left = threading.Condition(self._lock)
        self._knotes: dict[tuple[int, int], _Knote] = {}
        self._queue: deque[_Knote] = deque()
        self._waiters = 0
        self._pid = os.getpid()
        self.closed = False
        # Readable while a knote is queued; `_inner` while one should be looked at.
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._inner, self._outer = select.epoll(), select.epoll()
        self._outer.register(self._inner, select.EPOLLIN)
        self._outer.register(self._bell, select.EPOLLIN)

    def fileno(self) -> int:
        self._check_open()
        return self._outer.fileno()

    def close(self) -> None:
        with self._lock:
            if self.closed:
                return
            if self._profile.close_beside_a_waiter == "hangs":
                self._left.wait_for(lambda: not self._waiters)
            self.closed = True
            if self._profile.close_beside_a_waiter == "wakes":
                os.eventfd_write(self._bell, 1)
            self._release()

    def __del__(self) -> None:
        self.close()

    def control(
        self, changes: Iterable[Change] | None, room: int, timeout: float | None = None
    ) -> list[Change]:
        self._check_open()
        rows: list[Change] = []
        for change in changes or ():
            try:
                with self._lock:
                    self._apply(change)
            except OSError as error:
                if len(rows) == room:
                    raise
                rows.append(change._replace(flags=_ERROR, data=error.errno or 0))
            else:
                if change.flags & _RECEIPT and len(rows) < room:
                    rows.append(change._replace(flags=_ERROR, data=0))
        return rows if rows or not room else self._wait(room, timeout)

    def look_now(self) -> None:
        """Look at what has happened, as a kernel does at each event."""
        with self._lock:
            self._look()

    def _check_open(self) -> None:
        if self.closed or self._pid != os.getpid():
            raise ValueError("I/O operation on closed kqueue object")

    def _release(self) -> None:
        """Close the descriptors once no thread sleeps on them; the caller holds the lock."""
        if self.closed and not self._waiters:
            self._inner.close()
            self._outer.close()
            os.close(self._bell)
        self._left.notify_all()

    def _wait(self, room: int, timeout: float | None) -> list[Change]:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            self._waiters += 1
        try:
            while True:
                with self._lock:
                    if self.closed and self._profile.close_beside_a_waiter == "wakes":
                        raise OSError(errno.EBADF, "the queue was closed")
                    self._look()
                    found = self._take(room)
                left = None if deadline is None else deadline - time.monotonic()
                if found or (left is not None and left <= 0):
                    return found
                # Unlike a wait on the epoll, this wakes every sleeper.
                sleep = select.poll()
                sleep.register(self._outer.fileno(), select.POLLIN)
                sleep.poll(None if left is None else math.ceil(left * 1000))
        finally:
            with self._lock:
                self._waiters -= 1
                self._release()

    # Changes

    def _apply(self, change: Change) -> None:
        key = (change.ident, change.filter)
        file = _NO_FILE if change.filter == TIMER else filters.file_of(change.ident)
        known = self._knotes.get(key)
        if known is not None and known.file != file:
            # The descriptor was closed, which drops its filters.
            self._drop(known)
            known = None
        if change.flags & _DELETE:
            self._delete(known, file)
        elif file is None:
            raise _refusal(errno.EBADF)
        elif change.flags & _ADD:
            self._add(change, known, file)
        elif known is None:
            raise _refusal(errno.ENOENT)

    def _delete(self, known: _Knote | None, file: File | None) -> None:
        if known is not None:
            self._drop(known)
            self._watch(known.change.ident)
        elif file is None:
            raise _refusal(self._profile.delete_of_a_closed_number)
        else:
            raise _refusal(errno.ENOENT)

    def _add(self, change: Change, known: _Knote | None, file: File) -> None:
        if known is None:
            self._refuse(change)
            known = self._knotes[change.ident, change.filter] = _Knote(change, file)
        known.change = change
        known.is_lost = False
        seen = Seen(True, 0, 0, 1) if change.filter == TIMER else self._look_at(change)
        if seen.is_active and not known.is_queued:
            self._enqueue(known)
        # What is queued stays so, with a new count, and none if it is not ready any more.
        known.seen = seen
        self._watch(change.ident)

    def _refuse(self, change: Change) -> None:
        """Raise if the kernel refuses a new knote."""
        number = None
        if change.filter != TIMER and change.ident == self._outer.fileno():
            itself = (self._profile.watch_itself_for_read, self._profile.watch_itself_for_write)
            number = itself[change.filter == WRITE]
        elif change.filter == WRITE and filters.lost_its_reader(change.ident):
            number = self._profile.write_without_reader
        if number is not None:
            raise _refusal(number)

    def _drop(self, knote: _Knote) -> None:
        del self._knotes[knote.change.ident, knote.change.filter]
        self._dequeue(knote)

    # Events

    def _look(self) -> None:
        for fd, _ in self._inner.poll(0, 64):
            for filter_ in (READ, WRITE):
                knote = self._knotes.get((fd, filter_))
                if knote is None or knote.is_queued or not self._is_same(knote):
                    continue
                knote.seen = self._look_at(knote.change)
                if filter_ == WRITE and not self._profile.full_pipe_reports_its_end:
                    knote.is_lost = filters.is_full_without_a_reader(fd)
                if knote.seen.is_active and not knote.is_lost:
                    self._enqueue(knote)
            self._watch(fd)

    def _take(self, room: int) -> list[Change]:
        taken: list[Change] = []
        for _ in range(len(self._queue)):
            if len(taken) == room:
                break
            knote = self._queue[0]
            self._dequeue(knote)
            if not self._is_same(knote):
                continue
            is_once = bool(knote.change.flags & _ONESHOT)
            if not (is_once and self._profile.stale_one_shot) and knote.change.filter != TIMER:
                knote.seen = self._look_at(knote.change)
                if not knote.seen.is_active:
                    self._watch(knote.change.ident)
                    continue
            if is_once:
                self._drop(knote)
            else:
                self._enqueue(knote)
            seen = knote.seen
            taken.append(
                knote.change._replace(flags=seen.flags, fflags=seen.fflags, data=seen.data)
            )
        return taken

    def _look_at(self, change: Change) -> Seen:
        try:
            return filters.look(change.ident, change.filter)
        except OSError:
            # Closed by another thread in this moment.
            return Seen(False)

    def _is_same(self, knote: _Knote) -> bool:
        """Whether the number still stands for the file; if not, drop the knote."""
        if knote.change.filter == TIMER or filters.file_of(knote.change.ident) == knote.file:
            return True
        self._drop(knote)
        return False

    def _enqueue(self, knote: _Knote) -> None:
        if not self._queue:
            os.eventfd_write(self._bell, 1)
        self._queue.append(knote)
        knote.is_queued = True

    def _dequeue(self, knote: _Knote) -> None:
        if knote.is_queued:
            self._queue.remove(knote)
            knote.is_queued = False
            if not self._queue:
                os.eventfd_read(self._bell)

    def _watch(self, fd: int) -> None:
        """Have `fd` looked at when a knote of it that is not queued may become active."""
        mask = 0
        for filter_ in (READ, WRITE):
            knote = self._knotes.get((fd, filter_))
            if knote is not None and not (knote.is_queued or knote.is_lost):
                mask |= filters.MASKS[filter_]
        try:
            if not mask:
                # With an empty mask it would report hang-ups (n04).
                self._inner.unregister(fd)
                return
            try:
                self._inner.modify(fd, mask | select.EPOLLONESHOT)
            except FileNotFoundError:
                self._inner.register(fd, mask | select.EPOLLONESHOT)
        except OSError:
            # Not there, or closed by another thread in this moment.
            return


class KqueueOf:
    """A `KqueueApi`: the names of `select`, with the kqueue of a profile."""

    KQ_FILTER_READ, KQ_FILTER_WRITE, KQ_FILTER_TIMER = READ, WRITE, TIMER
    KQ_EV_ADD, KQ_EV_DELETE, KQ_EV_ONESHOT = _ADD, _DELETE, _ONESHOT
    KQ_EV_EOF, KQ_EV_ERROR = filters.EOF, _ERROR

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    @staticmethod
    def kevent(ident: int | HasFileno, *rest: int) -> Change:
        return Change(ident if isinstance(ident, int) else ident.fileno(), *rest)

    def kqueue(self) -> ProfiledKqueue:
        return ProfiledKqueue(self._profile)


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def received(queue: ProfiledKqueue, room: int = 8) -> Sequence[Change]:
    return queue.control(None, room, 0)
