"""The poller on Linux's epoll.

An epoll registration belongs to an open file and carries one mask of events. With
EPOLLONESHOT, delivery clears the whole mask: both directions go silent together, the entry
stays in the set, and EPOLL_CTL_MOD arms it again (n01, n02). That is the contract, so the
backend adds little. `wait` takes one event: a thread that takes a batch and then blocks on a
disk starves the rest of its batch (n11).

The backend adds:

- A set of registered numbers. The kernel drops a registration with the last descriptor of the
  open file (n07), which kqueue's bookkeeping cannot see; the set makes both backends refuse
  the same calls.
- A direction for every event. EPOLLHUP and EPOLLERR may come alone, as for a pipe without a
  writer (n04); neither direction would block then, so both are reported.

epoll_wait wakes one waiter per event, the one that went to sleep last (n19). Threads get no
fair share.
"""

from __future__ import annotations

import errno
import functools
import itertools
import select
from operator import index

from mogpoll.errors import (
    AlreadyRegistered,
    BadDescriptor,
    NotPollable,
    NotRegistered,
    PollerClosed,
)
from mogpoll.interest import Event, Interest, Readiness
from mogpoll.poller import HeldPoller
from mogpoll.system.descriptors import HasFileno, descriptor_of, refuse_unpollable
from mogpoll.system.forking import disown_after_fork
from mogpoll.system.timeouts import clip_timeout

# Linux's numbers, so that this module can be imported on every system.
_EPOLLIN, _EPOLLOUT = 0x001, 0x004
_EPOLLERR, _EPOLLHUP, _EPOLLRDHUP = 0x008, 0x010, 0x2000
_EPOLLONESHOT = 1 << 30

_IN = _EPOLLIN | _EPOLLRDHUP | _EPOLLONESHOT
_OUT = _EPOLLOUT | _EPOLLONESHOT
_MASKS = {Interest.READ: _IN, Interest.WRITE: _OUT, Interest.READ_WRITE: _IN | _OUT}

_MEANING = {
    _EPOLLIN: Readiness.READABLE,
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


# All masks beforehand: flag arithmetic costs 1 us in Python, a look-up 30 ns.
_READINESS = _readiness_of_masks()
# Skips the named tuple's Python-level constructor: 0.2 us an event.
_new_event = functools.partial(tuple.__new__, Event)


class EpollPoller(HeldPoller):
    """A `mogpoll.poller.Poller` on epoll.

    **Threads:** `_registered` is used by single dict operations only, which are atomic with
    and without the interpreter lock; the kernel decides races between them.

    **Raises:** `OSError` (ENOSYS) on a system without epoll.
    """

    def __init__(self) -> None:
        super().__init__()
        if not hasattr(select, "epoll"):
            raise OSError(errno.ENOSYS, "this system has no epoll")
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._modify = self._epoll.modify
        self._registered: dict[int, object] = {}
        disown_after_fork(self)

    def add(self, fd: int | HasFileno, interest: Interest) -> None:
        fd, mask = descriptor_of(fd), _MASKS[Interest(interest)]
        if self._epoll.closed:
            raise PollerClosed
        # A registered number stays registered, even if it was closed meanwhile.
        if fd not in self._registered:
            refuse_unpollable(fd)
        # Before the kernel call: another thread may receive the event and forget the
        # descriptor before the call returns here (n10).
        if self._registered.setdefault(fd, claim := object()) is not claim:
            raise AlreadyRegistered(fd)
        try:
            self._epoll.register(fd, mask)
        except (OSError, ValueError) as error:
            self._registered.pop(fd, None)
            raise self._refusal(fd, error) from None

    def rearm(self, fd: int | HasFileno, interest: Interest) -> None:
        try:
            # Most are numbers, and this runs for each step.
            fd = index(fd)  # type: ignore[arg-type]
        except TypeError:
            fd = descriptor_of(fd)
        try:
            self._modify(fd, _MASKS[interest])
        except (OSError, OverflowError, ValueError, KeyError, TypeError) as error:
            Interest(interest)
            if fd not in self._registered and not self._epoll.closed:
                raise NotRegistered(fd) from None
            raise self._refusal(fd, error) from None

    def forget(self, fd: int | HasFileno) -> None:
        fd = descriptor_of(fd)
        if self._epoll.closed:
            raise PollerClosed
        try:
            del self._registered[fd]
        except KeyError:
            raise NotRegistered(fd) from None
        try:
            self._epoll.unregister(fd)
        except OSError:
            # Already closed, so the kernel has dropped it (n07).
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

    def fileno(self) -> int:
        if self._epoll.closed:
            raise PollerClosed
        return self._epoll.fileno()

    def _close(self) -> None:
        self._epoll.close()

    def __repr__(self) -> str:
        if self._epoll.closed:
            return "<EpollPoller, closed>"
        return f"<EpollPoller {self._epoll.fileno()}, {len(self._registered)} registered>"

    def disown(self) -> None:
        """Close a forked child's copy of the descriptor; the parent's queue is not affected."""
        self.renew_lock()
        self._epoll.close()

    def _refusal(self, fd: int, error: Exception) -> Exception:
        """Translate an error of `select.epoll` into the contract's exception."""
        if self._epoll.closed:
            return PollerClosed()
        if isinstance(error, FileExistsError):
            return AlreadyRegistered(fd)
        if isinstance(error, FileNotFoundError):
            return NotRegistered(fd)
        if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.EINVAL):
            # EINVAL: the queue itself.
            return NotPollable(fd)
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            return BadDescriptor(fd)
        return error
