"""One-shot readiness on epoll and kqueue: one queue, many threads, one owner a descriptor."""

from __future__ import annotations

from mogpoll.acceptor import Acceptor
from mogpoll.backends import open_poller
from mogpoll.epoll import EpollPoller
from mogpoll.errors import (
    AlreadyRegistered,
    BadDescriptor,
    NotPollable,
    NotRegistered,
    PollerClosed,
    PollError,
)
from mogpoll.interest import Event, Interest, Readiness
from mogpoll.kqueue import KqueuePoller
from mogpoll.poller import Poller
from mogpoll.pool.statistics import PoolStatistics
from mogpoll.pool.step import Next, PoolStopped, Reason, Task
from mogpoll.pool.timers import DelayedCall
from mogpoll.pool.workers import WorkerPool
from mogpoll.stopping import install_poke_handler
from mogpoll.system.iopriority import lowered_io_priority
from mogpoll.system.sendfile import FileError, copy_file, sendfile
from mogpoll.system.tcpinfo import last_data_received_ms, silence_ms
from mogpoll.threads import ThreadRefused
from mogpoll.waker import BouncingWaker, Waker

__version__ = "0.2.0"

__all__ = [
    "Acceptor",
    "AlreadyRegistered",
    "BadDescriptor",
    "BouncingWaker",
    "DelayedCall",
    "EpollPoller",
    "Event",
    "FileError",
    "Interest",
    "KqueuePoller",
    "Next",
    "NotPollable",
    "NotRegistered",
    "PollError",
    "Poller",
    "PollerClosed",
    "PoolStatistics",
    "PoolStopped",
    "Readiness",
    "Reason",
    "Task",
    "ThreadRefused",
    "Waker",
    "WorkerPool",
    "__version__",
    "copy_file",
    "install_poke_handler",
    "last_data_received_ms",
    "lowered_io_priority",
    "open_poller",
    "sendfile",
    "silence_ms",
]


def __dir__() -> list[str]:
    """Leave the submodules out: what is public is imported from here."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
