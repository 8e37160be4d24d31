"""The poller on kqueue: FreeBSD, macOS, and Linux through libkqueue.

A kqueue registration is a pair of descriptor and filter. READ and WRITE are independent
registrations, and EV_ONESHOT deletes each on its own delivery (n01). A descriptor armed for
both can therefore reach two threads. The contract allows one owner, so every arming has a
serial number, carried in `udata`:

- `add` and `rearm` draw a serial, enter it in `_armed`, then change the kernel;
- the thread that removes an event's serial from `_armed` owns the descriptor; the other
  filter's event finds its serial gone and is dropped;
- the other filter may stay registered while the owner works. The next arming of that filter
  overwrites it; if it fires first, its serial is unknown.

Serials are never reused, so an event received before its descriptor was closed cannot be taken
for one of the next descriptor with that number.

Changes and waits are separate kevent calls (n13). CPython repeats an interrupted call with the
same changes, which the kernel has already applied; if another thread received the one-shot in
between, the repetition arms it twice (the loop in select_kqueue_control_impl,
https://github.com/python/cpython/blob/3.11/Modules/selectmodule.c).

FreeBSD wakes all waiting threads for each event; one gets it, the others go back to sleep
(n19). Regular files would be readable for ever (n08); they are refused before the kernel is
asked, as on epoll.

Arming a pipe without a reader for WRITE fails and registers nothing: with EPIPE on FreeBSD, with
EBADF on NetBSD, as if the descriptor were closed (n09, n62; pipe_kqfilter in each
sys/kern/sys_pipe.c). A one-shot timer stands in for the filter, and delivers the hang-up.
"""

from __future__ import annotations

import errno
import functools
import select
import threading
import time
from operator import index
from typing import Any

from mogpoll.errors import (
    AlreadyRegistered,
    BadDescriptor,
    NotPollable,
    NotRegistered,
    PollerClosed,
)
from mogpoll.interest import Event, Interest, Readiness
from mogpoll.poller import HeldPoller
from mogpoll.system.descriptors import HasFileno, descriptor_of, is_pipe, refuse_unpollable
from mogpoll.system.forking import disown_after_fork
from mogpoll.system.timeouts import clip_timeout

# Errors of EV_DELETE that leave nothing to do.
_HARMLESS_ON_DELETE = frozenset(
    {
        # The one-shot was delivered, or the filter was never armed (n02).
        errno.ENOENT,
        # The descriptor was closed, which removed its filters (n07).
        errno.EBADF,
    }
)

_new_event = functools.partial(tuple.__new__, Event)

# `select`, or an object with the same names: no common type exists.
KqueueApi = Any


class KqueuePoller(HeldPoller):
    """A `mogpoll.poller.Poller` on kqueue; `api` defaults to the system's own.

    **Threads:** `_lock` guards the serial counter and the two tables. Claiming an event
    removes one key from `_armed`, which is atomic with and without the interpreter lock.
    The kernel is changed outside the lock, except for two filters: the first may fire at
    once, and our second change must not overtake the new owner's. Changes never block.

    **Raises:** `OSError` (ENOSYS) on a system without kqueue, if `api` is None.
    """

    def __init__(self, api: KqueueApi | None = None) -> None:
        super().__init__()
        if api is None and not hasattr(select, "kqueue"):
            raise OSError(errno.ENOSYS, "this system has no kqueue")
        self._api: KqueueApi = select if api is None else api
        self._kqueue = self._api.kqueue()
        self._control = self._kqueue.control
        self._disowned = False
        self._lock = threading.Lock()
        self._serial = 0
        # Descriptor -> serial of its latest arming, odd if for both filters. A record instead
        # of the number would cost 72 bytes a descriptor.
        self._registered: dict[int, int] = {}
        # Serial -> descriptor, for armings whose event is not claimed yet.
        self._armed: dict[int, int] = {}
        kevent, oneshot = self._api.kevent, self._api.KQ_EV_ADD | self._api.KQ_EV_ONESHOT
        self._kevent, self._oneshot = kevent, oneshot
        self._read, self._write = self._api.KQ_FILTER_READ, self._api.KQ_FILTER_WRITE
        self._filters = {
            Interest.READ: (self._read,),
            Interest.WRITE: (self._write,),
            Interest.READ_WRITE: (self._read, self._write),
        }
        disown_after_fork(self)

    def add(self, fd: int | HasFileno, interest: Interest) -> None:
        fd, filters = descriptor_of(fd), self._filters[Interest(interest)]
        self._check_open()
        # A registered number stays registered, even if it was closed meanwhile.
        if fd not in self._registered:
            refuse_unpollable(fd)
            if fd == self._kqueue.fileno():
                # NetBSD would watch it for READ (n63).
                raise NotPollable(fd)
        with self._lock:
            if fd in self._registered:
                raise AlreadyRegistered(fd)
            # Under the lock, so that no other thread sees a registration that fails.
            try:
                self._arm(fd, filters, self._draw_serial(fd, len(filters)))
            except BaseException:
                # Also for want of memory for a table.
                self._registered.pop(fd, None)
                raise

    def rearm(self, fd: int | HasFileno, interest: Interest) -> None:
        try:
            # Most are numbers, and this runs for each step.
            fd = index(fd)  # type: ignore[arg-type]
        except TypeError:
            fd = descriptor_of(fd)
        try:
            filters = self._filters[interest]
        except (KeyError, TypeError):
            filters = self._filters[Interest(interest)]
        with self._lock:
            try:
                last = self._registered[fd]
            except KeyError:
                self._check_open()
                raise NotRegistered(fd) from None
            self._armed.pop(last, None)
            serial = self._draw_serial(fd, len(filters))
            if last & 1 or serial & 1:
                self._arm(fd, filters, serial)
                return
        self._arm(fd, filters, serial)

    def forget(self, fd: int | HasFileno) -> None:
        fd = descriptor_of(fd)
        self._check_open()
        with self._lock:
            try:
                last = self._registered.pop(fd)
            except KeyError:
                raise NotRegistered(fd) from None
            self._armed.pop(last, None)
        for filter_ in (self._read, self._write):
            change = self._kevent(fd, filter_, self._api.KQ_EV_DELETE)
            try:
                self._control([change], 0)
            except OSError as error:
                if error.errno not in _HARMLESS_ON_DELETE:
                    raise

    def wait(self, timeout_s: float | None = None) -> Event | None:
        if timeout_s is not None:
            timeout_s = clip_timeout(timeout_s)
        deadline = time.monotonic() + timeout_s if timeout_s else None
        while True:
            try:
                ready = self._control(None, 1, timeout_s)
            except ValueError:
                raise PollerClosed from None
            if not ready:
                return None
            event = ready[0]
            fd = self._armed.pop(event.udata, None)
            if fd is not None:
                return _new_event((fd, self._readiness(event)))
            # The second event of an arming, or its descriptor was forgotten.
            if deadline is not None:
                timeout_s = max(0.0, deadline - time.monotonic())

    def fileno(self) -> int:
        self._check_open()
        return int(self._kqueue.fileno())

    def _close(self) -> None:
        if not self._disowned:
            self._kqueue.close()

    def __repr__(self) -> str:
        if self._disowned or self._kqueue.closed:
            return "<KqueuePoller, closed>"
        return f"<KqueuePoller {self._kqueue.fileno()}, {len(self._registered)} registered>"

    def disown(self) -> None:
        """Abandon the queue in a forked child, where its number may belong to another file.

        The object is never freed: before CPython 3.12.1 its destructor closed the file that
        has the number now (n17, https://github.com/python/cpython/issues/110395).
        """
        self.renew_lock()
        self._disowned = True
        # A thread of the parent may have held the old one.
        self._lock = threading.Lock()
        _abandoned.append(self._kqueue)
        self._kqueue = None
        self._control = _closed_control

    def _arm(self, fd: int, filters: tuple[int, ...], serial: int) -> None:
        for filter_ in filters:
            change = self._kevent(fd, filter_, self._oneshot, 0, 0, serial)
            try:
                self._control([change], 0)
            except OSError as error:
                if self._has_no_reader(fd, filter_, error.errno):
                    self._arm_hangup(fd, serial)
                    continue
                self._armed.pop(serial, None)
                if error.errno == errno.EBADF:
                    raise BadDescriptor(fd) from None
                if error.errno == errno.EINVAL:
                    # The filter does not support this kind of file.
                    raise NotPollable(fd) from None
                raise
            except ValueError:
                self._armed.pop(serial, None)
                raise PollerClosed from None

    def _has_no_reader(self, fd: int, filter_: int, number: int | None) -> bool:
        """Whether arming failed with `number` because `fd` is a pipe without a reader (n62)."""
        if number == errno.EBADF:
            return filter_ == self._write and is_pipe(fd)
        return number == errno.EPIPE

    def _arm_hangup(self, fd: int, serial: int) -> None:
        """Deliver a hang-up in 1 ms, for an arming that the kernel refused.

        Timers have a number space of their own, so `fd` does not clash with a descriptor's
        filters. If `fd` is forgotten first, the timer's serial is unknown and it is dropped.
        """
        timer = self._kevent(fd, self._api.KQ_FILTER_TIMER, self._oneshot, 0, 1, serial)
        self._control([timer], 0)

    def _draw_serial(self, fd: int, filters: int) -> int:
        """Enter a new arming of `fd` by 1 or 2 filters; the caller holds the lock."""
        self._serial += 2
        self._registered[fd] = serial = self._serial | (filters == 2)
        self._armed[serial] = fd
        return serial

    def _readiness(self, event: Any) -> Readiness:
        if event.filter == self._read:
            readiness = Readiness.READABLE
        elif event.filter == self._write:
            readiness = Readiness.WRITABLE
        else:
            return Readiness.WRITABLE | Readiness.HANGUP
        if event.flags & (self._api.KQ_EV_EOF | self._api.KQ_EV_ERROR):
            return readiness | Readiness.HANGUP
        return readiness

    def _check_open(self) -> None:
        if self._disowned or self._kqueue.closed:
            raise PollerClosed


_abandoned: list[Any] = []


def _closed_control(*_: object) -> list[Any]:
    raise ValueError("the kqueue belongs to the parent process")
