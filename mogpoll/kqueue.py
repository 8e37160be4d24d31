"""The poller on kqueue: FreeBSD, macOS, and Linux through libkqueue.

A kqueue registration is the pair of a descriptor and a filter. READ and WRITE are two
registrations that know nothing of each other, and EV_ONESHOT deletes each of them on its
own delivery. Armed for both directions, one descriptor can therefore be handed to two
threads. The contract allows one owner, so every arming has a serial number, carried in
`udata`:

- `add` and `rearm` draw a new serial and enter it in `_armed`, then change the kernel;
- a thread that receives an event removes its serial from `_armed`; whoever removes it
  owns the descriptor, and a twin that comes later finds nothing and is dropped;
- the twin may also stay in the kernel while the owner works. A later arming of the same
  filter overwrites it, and if it fires instead its serial is unknown by then.

Serials are never used twice, so an event that was read from the kernel before its
descriptor was closed cannot be taken for one of the next descriptor with that number.

With one direction armed this costs one system call for each arming, as it must: changing
and waiting in a single kevent call is not safe here. CPython repeats an interrupted call
with the same list of changes, which the kernel has applied already; another thread may
have received the one-shot in between, and the repetition arms it a second time
(https://github.com/python/cpython/blob/3.11/Modules/selectmodule.c, the loop in
select_kqueue_control_impl).

FreeBSD wakes every waiting thread for each event and lets all but one go back to sleep.
It reports regular files as readable for ever and epoll refuses them: they are refused
here before the kernel is asked.

A pipe without a reader cannot be armed for WRITE: the kernel says EPIPE, registers nothing,
and would never tell of it (pipe_kqfilter in FreeBSD's sys/kern/sys_pipe.c). A one-shot timer
takes the filter's place, and its event is the hang-up that epoll tells of.
"""

from __future__ import annotations

import errno
import functools
import os
import select
import threading
import time
from operator import index
from typing import Any

from mogpoll.descriptors import refuse_unpollable
from mogpoll.errors import (
    AlreadyRegistered,
    BadDescriptor,
    NotPollable,
    NotRegistered,
    PollerClosed,
)
from mogpoll.forking import disown_after_fork
from mogpoll.interest import Event, Interest, Readiness
from mogpoll.waits import clip_timeout

# Errors of a deletion that leave nothing to do.
_HARMLESS_ON_DELETE = frozenset(
    {
        # The one-shot was delivered, or the filter was never armed.
        errno.ENOENT,
        # The descriptor was closed, and the kernel removed its filters then.
        errno.EBADF,
    }
)

_new_event = functools.partial(tuple.__new__, Event)

# The part of `select` that deals with kqueue, or its stand-in: no common type exists.
Kernel = Any


def find_kernel() -> Kernel:
    """Return the system's own kqueue, else the libkqueue that MOGPOLL_LIBKQUEUE names.

    **Raises:** `OSError` where neither is to be had.
    """
    if hasattr(select, "kqueue"):
        return select
    path = os.environ.get("MOGPOLL_LIBKQUEUE")
    if not path:
        raise OSError(
            errno.ENOSYS, "this system has no kqueue, and MOGPOLL_LIBKQUEUE names no libkqueue"
        )
    from mogpoll.testing import libkqueue

    return libkqueue.load(path)


class KqueuePoller:
    """See `mogpoll.poller.Poller` for the contract of each method.

    **Threads:** `_lock` guards the serial counter and the two tables together. A claim is
    the removal of one key from `_armed`, which is atomic with and without the interpreter
    lock. The kernel is changed outside of the lock, except when two filters are concerned:
    the first of them may fire at once, and the new owner's own change must not be
    overtaken by our second one. Such a change never sleeps.
    """

    def __init__(self, kernel: Kernel | None = None) -> None:
        self._kernel = find_kernel() if kernel is None else kernel
        self._kqueue = self._kernel.kqueue()
        self._control = self._kqueue.control
        self._disowned = False
        self._lock = threading.Lock()
        self._serial = 0
        # descriptor -> the serial of its latest arming, odd if that was of both filters:
        # an object beside the number would cost 72 bytes for each descriptor
        self._registered: dict[int, int] = {}
        # serial -> descriptor, for armings whose event nobody has claimed
        self._armed: dict[int, int] = {}
        kevent, oneshot = self._kernel.kevent, self._kernel.KQ_EV_ADD | self._kernel.KQ_EV_ONESHOT
        self._kevent, self._oneshot = kevent, oneshot
        self._read, self._write = self._kernel.KQ_FILTER_READ, self._kernel.KQ_FILTER_WRITE
        self._filters = {
            Interest.READ: (self._read,),
            Interest.WRITE: (self._write,),
            Interest.READ_WRITE: (self._read, self._write),
        }
        disown_after_fork(self)

    def add(self, fd: int, interest: Interest) -> None:
        fd, filters = index(fd), self._filters[Interest(interest)]
        self._check_open()
        # A number that is registered stays so, even if it was closed meanwhile.
        if fd not in self._registered:
            refuse_unpollable(fd)
        with self._lock:
            if fd in self._registered:
                raise AlreadyRegistered(fd)
            # Under the lock, so that a failure leaves no trace that others could see.
            serial = self._draw_serial(fd, len(filters))
            try:
                self._arm(fd, filters, serial)
            except BaseException:
                del self._registered[fd]
                raise

    def rearm(self, fd: int, interest: Interest) -> None:
        fd = index(fd)
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

    def forget(self, fd: int) -> None:
        fd = index(fd)
        self._check_open()
        with self._lock:
            try:
                last = self._registered.pop(fd)
            except KeyError:
                raise NotRegistered(fd) from None
            self._armed.pop(last, None)
        for filter_ in (self._read, self._write):
            change = self._kevent(fd, filter_, self._kernel.KQ_EV_DELETE)
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
            # A late twin, or an event of a descriptor that was forgotten meanwhile.
            if deadline is not None:
                timeout_s = max(0.0, deadline - time.monotonic())

    def exchange(
        self, fd: int, interest: Interest, timeout_s: float | None = None
    ) -> Event | None:
        self.rearm(fd, interest)
        return self.wait(timeout_s)

    def fileno(self) -> int:
        self._check_open()
        return int(self._kqueue.fileno())

    def close(self) -> None:
        if not self._disowned:
            self._kqueue.close()

    def disown(self) -> None:
        """Abandon the queue in a forked child, where its number is not ours.

        The object is kept alive for good: before CPython 3.12.1 its destructor closed
        whatever owns the number now (https://github.com/python/cpython/issues/110395).
        """
        self._disowned = True
        # Held, perhaps, by a thread that did not come along into the child.
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
                if error.errno == errno.EPIPE:
                    self._tell_of_hangup(fd, serial)
                    continue
                self._armed.pop(serial, None)
                if error.errno == errno.EBADF:
                    raise BadDescriptor(fd) from None
                if error.errno == errno.EINVAL:
                    # The filter does not know this kind of descriptor.
                    raise NotPollable(fd) from None
                raise
            except ValueError:
                self._armed.pop(serial, None)
                raise PollerClosed from None

    def _tell_of_hangup(self, fd: int, serial: int) -> None:
        """Have the kernel deliver an event for an arming that it refused: in a millisecond.

        Timers have numbers of their own, so this one cannot be taken for a descriptor's
        filter. One that is forgotten meanwhile carries a serial that nobody knows.
        """
        timer = self._kevent(fd, self._kernel.KQ_FILTER_TIMER, self._oneshot, 0, 1, serial)
        self._control([timer], 0)

    def _draw_serial(self, fd: int, filters: int) -> int:
        """Enter a new arming of `fd` by so many filters; the caller holds the lock."""
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
        if event.flags & (self._kernel.KQ_EV_EOF | self._kernel.KQ_EV_ERROR):
            return readiness | Readiness.HANGUP
        return readiness

    def _check_open(self) -> None:
        if self._disowned or self._kqueue.closed:
            raise PollerClosed


_abandoned: list[Any] = []


def _closed_control(*_: object) -> list[Any]:
    raise ValueError("the kqueue belongs to the parent process")
