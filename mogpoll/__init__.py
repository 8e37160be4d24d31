"""One-shot readiness on epoll and kqueue: one shared queue, many threads, one owner."""

from __future__ import annotations

from mogpoll.acceptor import Acceptor
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
from mogpoll.iopriority import lowered_io_priority
from mogpoll.kqueue import KqueuePoller
from mogpoll.poller import Poller, open_poller
from mogpoll.sendfile import sendfile
from mogpoll.stopping import install_poke_handler
from mogpoll.task import Next, Task
from mogpoll.tcpinfo import last_data_received_ms, silence_ms
from mogpoll.waker import BouncingWaker, Waker
from mogpoll.workers import WorkerPool

__all__ = [
    "Acceptor",
    "AlreadyRegistered",
    "BadDescriptor",
    "BouncingWaker",
    "EpollPoller",
    "Event",
    "Interest",
    "KqueuePoller",
    "Next",
    "NotPollable",
    "NotRegistered",
    "PollError",
    "Poller",
    "PollerClosed",
    "Readiness",
    "Task",
    "Waker",
    "WorkerPool",
    "install_poke_handler",
    "last_data_received_ms",
    "lowered_io_priority",
    "open_poller",
    "sendfile",
    "silence_ms",
]
