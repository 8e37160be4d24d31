"""What a poller takes as a descriptor, and which kinds of file it accepts.

Kernels disagree: a kqueue reports regular files as always ready, epoll refuses them (n08), and
terminals vary. The type of the file decides instead, the same on every system.
"""

from __future__ import annotations

import os
import stat
from operator import index
from typing import Protocol

from mogpoll.errors import BadDescriptor, NotPollable


class HasFileno(Protocol):
    """A socket, for example."""

    def fileno(self) -> int: ...


def descriptor_of(given: int | HasFileno) -> int:
    """Return the number of a descriptor, or of an object that has one.

    **Raises:** `TypeError`.
    """
    try:
        return index(given)  # type: ignore[arg-type]
    except TypeError:
        fileno = getattr(given, "fileno", None)
    if not callable(fileno):
        raise TypeError(f"{given!r} is no descriptor, and has no fileno()")
    return index(fileno())


def refuse_unpollable(fd: int) -> None:
    """Accept sockets, pipes, and files without a type: eventfds and queues.

    **Raises:** `NotPollable` for files, directories and devices, `BadDescriptor`.
    """
    if fd < 0:
        raise BadDescriptor(fd)
    try:
        mode = os.fstat(fd).st_mode
    except (OSError, OverflowError):
        raise BadDescriptor(fd) from None
    if not (stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) or stat.S_IFMT(mode) == 0):
        raise NotPollable(fd)


def is_pipe(fd: int) -> bool:
    """Whether `fd` is open, and a pipe."""
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
