"""What may be added to a poller, judged before a kernel is asked.

Kernels differ in what they take: a kqueue says of a regular file that it is ready, some watch
terminals and some do not. So one look at the kind of file decides, on every system.
"""

from __future__ import annotations

import os
import stat

from mogpoll.errors import BadDescriptor, NotPollable


def refuse_unpollable(fd: int) -> None:
    """Let sockets and pipes pass, and what has no type at all: wakers and other queues.

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
