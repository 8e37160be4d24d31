"""Which faults of the list break the claim, and which are not about it."""

from __future__ import annotations

from tests.mogpoll.explorer.search import Outcome
from tests.mogpoll.explorer.subjects import QUICK, Subject
from tests.mogpoll.faults import FAULTS, Fault

_MODULES = ("epoll.py", "kqueue.py")

_READINESS = "changes what an event says of an end, not who gets it"
_FORK = "about a forked child; there is one process here"
_REFUSAL = "about a call that has to be refused; the threads make none"
_COUNTS = "counts to a hundred, which is not part of a state; the fault without a count is"

# Faults that no interleaving shows, each with its reason.
OUTSIDE = {
    "epoll: a refused descriptor stays in the table": _REFUSAL,
    "epoll: half close is not reported": _READINESS,
    "epoll: a hang-up names no direction": _READINESS,
    "epoll: a forked child keeps its copy": _FORK,
    "epoll: a time-out longer than the kernel takes is passed on": "the threads wait without one",
    "epoll: one event in a hundred is lost": _COUNTS,
    "epoll: one event in a hundred is given to two threads": _COUNTS,
    "kqueue: files are not refused": _REFUSAL,
    "kqueue: the queue may watch itself": _REFUSAL,
    "kqueue: a closed descriptor is taken for a pipe without a reader": _REFUSAL,
    "kqueue: end of file is not reported": _READINESS,
    "kqueue: a forked child inherits a locked lock": _FORK,
    "kqueue: one event in a hundred is lost": _COUNTS,
    "kqueue: one event in a hundred is given to two threads": _COUNTS,
}


def faults() -> list[Fault]:
    """Return the listed faults of the two backends that the claim is about."""
    return [fault for fault in FAULTS if fault.module in _MODULES and fault.name not in OUTSIDE]


def kill(fault: Fault, limit: int | None = None) -> tuple[Subject, Outcome] | None:
    """Return the first subject whose claim the fault breaks, and how; None if it survives."""
    for subject in QUICK:
        if subject.module == fault.module:
            outcome = subject.explore(fault, limit)
            if outcome.violation:
                return subject, outcome
    return None
