"""The poller on Linux's epoll.

An epoll registration belongs to an open file and carries one mask of events. With
EPOLLONESHOT the kernel clears the whole mask when it hands an event out: both directions
fall silent together, the entry stays in the set, and EPOLL_CTL_MOD arms it again. This is
exactly the promise of the contract, so the backend adds almost nothing: `wait` asks for
one event at a time, since a thread that takes a batch and then blocks on a disk starves
the rest of its batch.

What the kernel does not do by itself:

- It forgets a registration when the last descriptor of the open file is closed, which
  kqueue's bookkeeping cannot see. The set of registered numbers exists to refuse on epoll
  what must be refused on kqueue.
- EPOLLHUP and EPOLLERR may come alone, as for a pipe without a writer, while a kqueue filter
  always says which direction it is. Neither direction would block then, and both are told.

epoll_wait wakes one waiter per event, the last one that went to sleep, whose caches are
warm. There is no fairness between threads to rely on.
"""

from __future__ import annotations

import errno
import functools
import itertools
import select
from operator import index

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

# Linux's numbers, spelled out so that this module can be imported on every system.
_EPOLLIN, _EPOLLPRI, _EPOLLOUT = 0x001, 0x002, 0x004
_EPOLLERR, _EPOLLHUP, _EPOLLRDHUP = 0x008, 0x010, 0x2000
_EPOLLONESHOT = 1 << 30

_IN = _EPOLLIN | _EPOLLRDHUP | _EPOLLONESHOT
_OUT = _EPOLLOUT | _EPOLLONESHOT
_MASKS = {Interest.READ: _IN, Interest.WRITE: _OUT, Interest.READ_WRITE: _IN | _OUT}

_MEANING = {
    _EPOLLIN: Readiness.READABLE,
    _EPOLLPRI: Readiness.READABLE,
    _EPOLLOUT: Readiness.WRITABLE,
    _EPOLLERR: Readiness.HANGUP,
    _EPOLLHUP: Readiness.HANGUP,
    _EPOLLRDHUP: Readiness.READABLE | Readiness.HANGUP,
}


def _readiness_of_masks() -> dict[int, Readiness]:
    table = {}
    for size in range(len(_MEANING) + 1):
        for bits in itertools.combinations(_MEANING, size):
            meaning = Readiness(0)
            for bit in bits:
                meaning |= _MEANING[bit]
            if meaning == Readiness.HANGUP:
                meaning |= Readiness.READABLE | Readiness.WRITABLE
            table[sum(bits)] = meaning
    return table


# Flag arithmetic costs a microsecond in Python; a look-up costs 30 ns.
_READINESS = _readiness_of_masks()
# Skips the Python-level constructor of the named tuple, 0.2 us on the path of each event.
_new_event = functools.partial(tuple.__new__, Event)


class EpollPoller:
    """See `mogpoll.poller.Poller` for the contract of each method.

    **Threads:** `_registered` is touched by single dict operations only, each atomic with
    and without the interpreter lock; the kernel decides every race between two of them.
    """

    def __init__(self) -> None:
        if not hasattr(select, "epoll"):
            raise OSError(errno.ENOSYS, "this system has no epoll")
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._modify = self._epoll.modify
        self._registered: dict[int, object] = {}
        disown_after_fork(self)

    def add(self, fd: int, interest: Interest) -> None:
        fd, mask = index(fd), _MASKS[Interest(interest)]
        if self._epoll.closed:
            raise PollerClosed
        # A number that is registered stays so, even if it was closed meanwhile.
        if fd not in self._registered:
            refuse_unpollable(fd)
        # Before the kernel knows: the event may be received, and the descriptor forgotten
        # by its new owner, before the call returns here.
        if self._registered.setdefault(fd, claim := object()) is not claim:
            raise AlreadyRegistered(fd)
        try:
            self._epoll.register(fd, mask)
        except (OSError, OverflowError, ValueError) as error:
            self._registered.pop(fd, None)
            raise self._refusal(fd, error) from None

    def rearm(self, fd: int, interest: Interest) -> None:
        # Refuses what `select.epoll` would take: an object that has a descriptor.
        fd = index(fd)
        try:
            self._modify(fd, _MASKS[interest])
        except (OSError, OverflowError, ValueError, KeyError, TypeError) as error:
            Interest(interest)
            if fd not in self._registered and not self._epoll.closed:
                raise NotRegistered(fd) from None
            raise self._refusal(fd, error) from None

    def forget(self, fd: int) -> None:
        fd = index(fd)
        if self._epoll.closed:
            raise PollerClosed
        try:
            del self._registered[fd]
        except KeyError:
            raise NotRegistered(fd) from None
        try:
            self._epoll.unregister(fd)
        except OSError:
            # Closed already: the kernel has forgotten it by itself.
            return

    def wait(self, timeout_s: float | None = None) -> Event | None:
        if timeout_s is not None:
            timeout_s = clip_timeout(timeout_s)
        try:
            ready = self._poll(timeout_s, 1)
        except ValueError:
            raise PollerClosed from None
        if not ready:
            return None
        fd, mask = ready[0]
        return _new_event((fd, _READINESS[mask]))

    def exchange(
        self, fd: int, interest: Interest, timeout_s: float | None = None
    ) -> Event | None:
        self.rearm(fd, interest)
        return self.wait(timeout_s)

    def fileno(self) -> int:
        if self._epoll.closed:
            raise PollerClosed
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()

    def disown(self) -> None:
        """Close the copy that a forked child inherited; the parent's queue lives on."""
        self._epoll.close()

    def _refusal(self, fd: int, error: Exception) -> Exception:
        """Return the contract's exception for what `select.epoll` raised."""
        if self._epoll.closed:
            return PollerClosed()
        if isinstance(error, FileExistsError):
            return AlreadyRegistered(fd)
        if isinstance(error, FileNotFoundError):
            return NotRegistered(fd)
        if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.EINVAL):
            # EINVAL: the queue itself.
            return NotPollable(fd)
        if isinstance(error, OverflowError):
            return BadDescriptor(fd)
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            return BadDescriptor(fd)
        return error
