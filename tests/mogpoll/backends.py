"""The backends at hand, in a form that tests can be parametrised over."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mogpoll import EpollPoller, KqueuePoller, open_poller
from mogpoll.kqueue import find_kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Poller


@dataclass(frozen=True)
class Backend:
    """A way to open pollers, here and in a process that a test starts."""

    name: str
    open: Callable[[], Poller]

    def environment(self) -> dict[str, str]:
        """Return the environment in which `open_poller` gives this backend."""
        return {**os.environ, "MOGPOLL_BACKEND": self.name}


def backends_at_hand() -> list[Backend]:
    """List them; only the one that MOGPOLL_BACKEND names, where it names one."""
    if forced := os.environ.get("MOGPOLL_BACKEND"):
        return [Backend(forced, open_poller)]
    found = []
    if hasattr(select, "epoll"):
        found.append(Backend("epoll", EpollPoller))
    if hasattr(select, "kqueue") or os.environ.get("MOGPOLL_LIBKQUEUE"):
        found.append(Backend("kqueue", lambda: KqueuePoller(find_kernel())))
    return found


def parameters() -> list[object]:
    """Return the backends as parameters of a fixture or a test."""
    marks = {"kqueue": pytest.mark.kqueue}
    return [
        pytest.param(backend, id=backend.name, marks=marks.get(backend.name, ()))
        for backend in backends_at_hand()
    ]
