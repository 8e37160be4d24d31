"""The contract that every backend keeps, and the choice of a backend.

A poller is one kernel queue of ready descriptors that any number of threads share.
Registrations are one-shot: an event is given to exactly one thread, and the descriptor
then stays silent until that thread re-arms it. Whoever received the event owns the
descriptor until it calls `rearm` or `forget`; from the moment `rearm` is *called*,
another thread may own it already.

Portability
-----------
What holds on every backend:

- An interest of READ_WRITE has one owner as well. On kqueue the two directions are two
  registrations; the backend recognises the late twin of a claimed event and drops it.
- Readiness is a hint. Another process may have drained the socket, and kqueue delivers a
  queued one-shot as it was when it was queued. Try the operation; when it would block,
  re-arm.
- A registration covers a descriptor number until it is forgotten. Forget before closing:
  a number that was closed and not forgotten counts as registered, and a later `add` of
  it is refused with `AlreadyRegistered`.
- Never duplicate a registered descriptor (`dup`, `fork`): epoll keys on the open file and
  would go on telling of the copy.
- Sockets, pipes and wakers can be added. Files, directories and devices (terminals, too) are
  refused, and so is the queue itself.
- Every event names a direction that it was armed for, a hang-up too: a pipe without a writer
  is READABLE and HANGUP to its reader. The other direction may be named besides.
- A peer's half close is told as READABLE and HANGUP to a reader.
- Closing a poller does not wake its waiters: stop the threads first.
- A poller does not survive `fork`: in the child every method but `close` raises
  `PollerClosed`. Wakers are closed there.

What differs and cannot be hidden:

- Which of several waiting threads is woken. Linux wakes the last one that went to sleep,
  FreeBSD wakes all and lets one of them have the event.
- Whether a descriptor that was armed for nothing but WRITE tells of a hang-up.
- Whether the queue's own descriptor is readable for nothing: on kqueue the late twin of a
  claimed event keeps it so until some thread waits.
- Whether a reset can still be read as ECONNRESET after it was told. A kernel leaves the error
  for the owner; libkqueue takes it away, and the owner reads the end of file.
- What becomes of a number that was closed, not forgotten, and given to another file:
  epoll refuses to re-arm it with `NotRegistered`, kqueue arms the other file.
- Whether another queue can be added: kernels watch it, libkqueue refuses.
"""

from __future__ import annotations

import os
import select
from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll.interest import Event, Interest


class Poller(Protocol):
    """One shared queue of ready descriptors.

    **Threads:** every method but `close` may be called from any thread at any time.
    `rearm`, `exchange` and `forget` of a descriptor belong to its owner.
    """

    def add(self, fd: int, interest: Interest) -> None:
        """Register `fd` and arm it once.

        **Raises:** `AlreadyRegistered`, `NotPollable`, `BadDescriptor`, `PollerClosed`;
        `ValueError` for what is no interest, `TypeError` for what is no number.
        """

    def rearm(self, fd: int, interest: Interest) -> None:
        """Arm the registered `fd` once more; whatever was armed before is replaced.

        **Raises:** `NotRegistered`, `BadDescriptor`, `PollerClosed`; `ValueError` and `TypeError`
        as `add`.
        """

    def forget(self, fd: int) -> None:
        """Remove `fd`; an event that is not yet received is dropped.

        **Raises:** `NotRegistered`, `PollerClosed`.
        """

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """Sleep until there is an event for this thread; None when the time is over.

        Signals do not end the wait. `timeout_s` None waits for ever, and so does more than 24
        days; 0 or less only looks.

        **Raises:** `PollerClosed`; `ValueError` for NaN.
        """

    def exchange(
        self, fd: int, interest: Interest, timeout_s: float | None = None
    ) -> Event | None:
        """Re-arm `fd`, then wait for the next event of any descriptor."""

    def fileno(self) -> int:
        """Return the queue's own descriptor: readable at least while an event is queued."""

    def close(self) -> None:
        """Release the queue. Call it once no thread waits; twice does no harm."""


def open_poller() -> Poller:
    """Return a poller of the platform's own backend.

    The environment variable MOGPOLL_BACKEND (`epoll` or `kqueue`) overrides the choice.
    Where the system has no kqueue of its own, MOGPOLL_LIBKQUEUE names the libkqueue
    library to take instead.

    **Raises:** `ValueError` for an unknown backend, `OSError` where it cannot be had.
    """
    return find_backend()()


def find_backend() -> Callable[[], Poller]:
    """Return what `open_poller` makes a poller with, and make none.

    libkqueue starts a thread with its first queue, which no program should have that is yet
    to fork.

    **Raises:** `ValueError` for an unknown backend, `OSError` where it cannot be had.
    """
    if backend_name() == "epoll":
        from mogpoll.epoll import EpollPoller

        return EpollPoller
    from mogpoll.kqueue import KqueuePoller, find_kernel

    return partial(KqueuePoller, find_kernel())


def backend_name() -> str:
    """Return which backend `open_poller` takes: `epoll` or `kqueue`.

    **Raises:** `ValueError` where MOGPOLL_BACKEND names neither.
    """
    native = "epoll" if hasattr(select, "epoll") else "kqueue"
    name = os.environ.get("MOGPOLL_BACKEND") or native
    if name not in ("epoll", "kqueue"):
        raise ValueError(f"MOGPOLL_BACKEND={name!r} is neither 'epoll' nor 'kqueue'")
    return name
