"""For tests of code on top of mogpoll: every backend that this machine has."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from dataclasses import dataclass

from mogpoll.backends import find_kqueue_api, open_poller
from mogpoll.epoll import EpollPoller
from mogpoll.kqueue import KqueuePoller
from mogpoll.poller import Poller


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend by name; `open` returns a new poller of it."""

    name: str
    open: Callable[[], Poller]

    def environment(self) -> dict[str, str]:
        """Return this process's environment, set to choose this backend in a child process."""
        return {**os.environ, "MOGPOLL_BACKEND": self.name}


def available_backends() -> list[Backend]:
    """Return the backends of this machine, or the one that MOGPOLL_BACKEND names.

    On Linux, kqueue is available if MOGPOLL_LIBKQUEUE names a libkqueue.
    """
    if name := os.environ.get("MOGPOLL_BACKEND"):
        return [Backend(name, open_poller)]
    found = []
    if hasattr(select, "epoll"):
        found.append(Backend("epoll", EpollPoller))
    if hasattr(select, "kqueue") or os.environ.get("MOGPOLL_LIBKQUEUE"):
        found.append(Backend("kqueue", lambda: KqueuePoller(find_kqueue_api())))
    return found
