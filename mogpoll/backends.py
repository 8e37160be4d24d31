"""The choice of a backend: the system's own, or the one that the environment names.

MOGPOLL_BACKEND (`epoll` or `kqueue`) overrides the choice. On a system without kqueue,
MOGPOLL_LIBKQUEUE names the libkqueue library to use instead.
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from functools import partial

from mogpoll.epoll import EpollPoller
from mogpoll.kqueue import KqueueApi, KqueuePoller
from mogpoll.poller import Poller


def open_poller() -> Poller:
    """Return a new poller of the chosen backend.

    **Raises:** `ValueError` if MOGPOLL_BACKEND is unknown, `OSError` if the backend is missing.
    """
    return find_backend()()


def find_backend() -> Callable[[], Poller]:
    """Return the callable with which `open_poller` creates its pollers.

    Opens no descriptor and starts no thread, so a process may still fork afterwards; libkqueue
    starts a thread with its first queue.

    **Raises:** as `open_poller`.
    """
    if backend_name() == "epoll":
        return EpollPoller
    return partial(KqueuePoller, find_kqueue_api())


def backend_name() -> str:
    """Return the name of the chosen backend: `epoll` or `kqueue`.

    **Raises:** `ValueError` if MOGPOLL_BACKEND is unknown.
    """
    native = "epoll" if hasattr(select, "epoll") else "kqueue"
    name = os.environ.get("MOGPOLL_BACKEND") or native
    if name not in ("epoll", "kqueue"):
        raise ValueError(f"MOGPOLL_BACKEND={name!r} is neither 'epoll' nor 'kqueue'")
    return name


def find_kqueue_api() -> KqueueApi:
    """Return `select` where it has kqueue, else the libkqueue that MOGPOLL_LIBKQUEUE names.

    **Raises:** `OSError` if there is neither.
    """
    if hasattr(select, "kqueue"):
        return select
    path = os.environ.get("MOGPOLL_LIBKQUEUE")
    if not path:
        raise OSError(
            errno.ENOSYS,
            "this system has no kqueue; set MOGPOLL_LIBKQUEUE to the path of libkqueue.so",
        )
    from mogpoll.libkqueue import shim

    return shim.load(path)
