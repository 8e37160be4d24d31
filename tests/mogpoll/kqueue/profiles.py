"""Where real kqueues differ from libkqueue and from each other, one row a difference.

`freebsd9` and `netbsd7` are what FreeBSD 9.1's and NetBSD 7.99.34's code did when it was run as a
library (vm/results); `freebsd13` and `darwin` are read in the sources. What they all share, and
libkqueue does not, is in `profiled_kqueue`.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, Literal

Closing = Literal["returns", "hangs", "wakes"]


@dataclass(frozen=True, slots=True)
class Profile:
    """The answers of one system; None as an error number stands for success."""

    name: str
    stale_one_shot: bool
    write_without_reader: int | None
    full_pipe_reports_its_end: bool
    delete_of_a_closed_number: int
    close_beside_a_waiter: Closing
    watch_itself_for_read: int | None
    watch_itself_for_write: int


@dataclass(frozen=True, slots=True)
class Row:
    """One difference: the field of a profile, its note, and each system's value."""

    field: str
    note: str
    freebsd9: Any
    freebsd13: Any
    netbsd7: Any
    darwin: Any


SYSTEMS = ("freebsd9", "freebsd13", "netbsd7", "darwin")

ROWS = (
    Row(
        "stale_one_shot",
        "n03, n61: a queued one-shot is delivered after its data was read away. The BSDs skip "
        "f_event for EV_ONESHOT in kqueue_scan; XNU calls f_process for every knote "
        "(knote_process, bsd/kern/kern_event.c).",
        *(True, True, True, False),
    ),
    Row(
        "write_without_reader",
        "n09, n62: EV_ADD of WRITE for a pipe whose reader has gone (pipe_kqfilter in each "
        "sys_pipe.c). XNU attaches the filter, which is then at its end; older ones gave EPIPE.",
        *(errno.EPIPE, errno.EPIPE, errno.EBADF, None),
    ),
    Row(
        "full_pipe_reports_its_end",
        "n62: WRITE was armed on a full pipe, and its reader closes. pipeclose must set EOF "
        "before it wakes; FreeBSD 9.1 and NetBSD 7.99 never deliver the event.",
        *(False, True, False, True),
    ),
    Row(
        "delete_of_a_closed_number",
        "n07: EV_DELETE of a descriptor that was closed.",
        *(errno.EBADF, errno.EBADF, errno.EBADF, errno.ENOENT),
    ),
    Row(
        "close_beside_a_waiter",
        "n28, n63: FreeBSD's close returns and the waiter sleeps on, NetBSD's waits for it, "
        "XNU's wakes it.",
        *("returns", "returns", "hangs", "wakes"),
    ),
    Row(
        "watch_itself_for_read",
        "n63: a queue that is added to itself for READ.",
        *(errno.EINVAL, errno.EINVAL, None, errno.EINVAL),
    ),
    Row(
        "watch_itself_for_write",
        "n63: a queue that is added to itself for WRITE.",
        *(errno.EINVAL, errno.EINVAL, errno.EPERM, errno.EINVAL),
    ),
)

PROFILES = {
    name: Profile(name, **{row.field: getattr(row, name) for row in ROWS}) for name in SYSTEMS
}
