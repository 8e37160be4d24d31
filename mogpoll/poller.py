"""The contract that every backend keeps.

A poller is one kernel queue of ready descriptors, shared by any number of threads.
Registrations are one-shot: an event goes to exactly one thread, and the descriptor stays
silent until that thread re-arms it. The thread that received the event owns the descriptor
until it calls `rearm` or `forget`; as soon as `rearm` is *called*, another thread may own it.

Portability
-----------
On every backend:

- READ_WRITE has one owner, too. On kqueue the two directions are two registrations; the
  backend recognises and drops the second event of an arming.
- Readiness is a hint. Another process may have drained the socket, and kqueue delivers a
  queued one-shot without looking again. Try the operation; if it would block, re-arm.
- A registration covers a descriptor number until it is forgotten. Forget before closing:
  a number that was closed without it still counts as registered, and a later `add` fails
  with `AlreadyRegistered`.
- Never duplicate a registered descriptor (`dup`, `fork`): epoll registers the open file and
  keeps reporting the copy.
- Sockets, pipes and wakers can be added. Files, directories, devices (terminals included) and
  the queue itself are refused.
- Every event, hang-ups included, names a direction that was armed: a pipe without a writer
  is READABLE and HANGUP to its reader. It may name the other direction as well.
- A half-closed peer is READABLE and HANGUP to a reader.
- Closing a poller does not wake its waiters: stop the threads first. A pool keeps its poller
  until it has stopped.
- A poller does not survive `fork`: in the child every method but `close` raises
  `PollerClosed`, and wakers are closed.

Backends differ in:

- which waiting thread is woken: Linux wakes the one that went to sleep last; FreeBSD wakes
  all, and one of them gets the event;
- whether a descriptor armed for WRITE alone reports a hang-up; of a full pipe whose reader then
  closes, FreeBSD 9 and NetBSD 7 report nothing;
- whether the queue's own descriptor is readable without an event: on kqueue the second event
  of an arming keeps it so until some thread waits;
- whether the read after a reported reset still fails with ECONNRESET: kernels keep the error
  for the owner; libkqueue clears it, and the owner reads end of file;
- what happens to a number that was closed, not forgotten, and reused: epoll refuses to re-arm
  it with `NotRegistered`, kqueue arms the new file;
- whether another queue can be added: kernels accept it, libkqueue refuses.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Protocol, TypeVar

from mogpoll.interest import Event, Interest
from mogpoll.system.descriptors import HasFileno

_Self = TypeVar("_Self", bound="Poller")
_Backend = TypeVar("_Backend", bound="HeldPoller")


class Poller(Protocol):
    """One shared queue of ready descriptors; `with` closes it at the end.

    A descriptor is a number, or an object with a `fileno` method, as for `selectors`. Events name
    numbers.

    **Threads:** every method but `close` may be called from any thread at any time.
    `rearm` and `forget` of a descriptor belong to its owner.
    """

    def add(self, fd: int | HasFileno, interest: Interest) -> None:
        """Register `fd` and arm it once.

        **Raises:** `AlreadyRegistered`, `NotPollable`, `BadDescriptor`, `PollerClosed`;
        `ValueError` if `interest` is no `Interest`, `TypeError` if `fd` is no descriptor.
        """

    def rearm(self, fd: int | HasFileno, interest: Interest) -> None:
        """Arm the registered `fd` once more; this replaces an arming still in force.

        **Raises:** `NotRegistered`, `BadDescriptor`, `PollerClosed`; `ValueError` and `TypeError`
        as `add`.
        """

    def forget(self, fd: int | HasFileno) -> None:
        """Remove `fd`; an event not yet received is dropped.

        **Raises:** `NotRegistered`, `PollerClosed`.
        """

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """Block until this thread gets an event; return None after `timeout_s` seconds.

        Signals do not end the wait. None, less than 0, or more than 24 days waits without limit;
        0 does not block.

        **Raises:** `PollerClosed`; `ValueError` for NaN.
        """

    def fileno(self) -> int:
        """Return the queue's own descriptor: readable at least while an event is queued."""

    def close(self) -> None:
        """Release the queue, once no thread waits in it. Closing twice is harmless.

        A pool that uses it holds it: it is released then when the pool has stopped.
        """

    def hold(self) -> None:
        """Keep it open until `release`, even if it is closed meanwhile."""

    def release(self) -> None:
        """Give up a hold; closes it if that was asked for and this was the last."""

    def __enter__(self: _Self) -> _Self: ...

    def __exit__(self, *_: object) -> None: ...


class HeldPoller(ABC):
    """What all backends share: it closes at `close`, or at the last `release` after that.

    **Threads:** any. `_holds_lock` guards `_holders` and `_is_closing`.
    """

    def __init__(self) -> None:
        self._holds_lock = threading.Lock()
        self._holders = 0
        self._is_closing = False

    def hold(self) -> None:
        """Keep it open until `release`, even if it is closed meanwhile."""
        with self._holds_lock:
            self._holders += 1

    def release(self) -> None:
        """Give up a hold; closes it if that was asked for and this was the last."""
        with self._holds_lock:
            self._holders -= 1
            is_over = self._is_closing and not self._holders
        if is_over:
            self._close()

    def close(self) -> None:
        """Release the queue, once no thread waits in it. Closing twice is harmless."""
        with self._holds_lock:
            self._is_closing = True
            if self._holders:
                return
        self._close()

    def __enter__(self: _Backend) -> _Backend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def renew_lock(self) -> None:
        """In a forked child: a thread of the parent may have held the lock."""
        self._holds_lock = threading.Lock()

    @abstractmethod
    def _close(self) -> None: ...
