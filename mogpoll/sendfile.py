"""Send part of a file to a socket, with one meaning on every system.

The systems agree on less than the name suggests. A count of 0 means nothing on Linux and
the whole rest of the file on FreeBSD. FreeBSD reports a partial transfer to a full socket
as an error with a count, which CPython turns into a plain count; EBUSY is its word for a
file whose pages are not in memory, when asked not to wait for them. Some file systems
have no sendfile at all. On a blocking socket an interrupted transfer would be started
again from the old offset by CPython, so only non-blocking sockets are accepted.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

# One call never moves more than this, so that one download cannot hold a thread while the
# client's socket takes everything at memory speed.
MAX_COUNT = 100 * 1024 * 1024

# Enough to fill a socket buffer, little enough to waste when the socket takes less.
_COPY_BLOCK = 128 * 1024

# What the call says where the file system or the kind of descriptor cannot do it.
_UNSUPPORTED = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTSOCK}
)

# Absent on some systems.
_os_sendfile: Callable[[int, int, int, int], int] | None = getattr(os, "sendfile", None)


def sendfile(connection: socket.socket, fd: int, offset: int, count: int) -> int:
    """Send up to `count` bytes of file `fd` from `offset` on; return how many were sent.

    Less than `count` says nothing; 0 says that the file ends at or before `offset`.

    **Threads:** any; the file's own position is neither used nor changed.

    **Raises:** `ValueError` for a blocking socket or a count below 1, `BlockingIOError`
    when the socket takes nothing now, other `OSError` of the socket or the file.
    """
    if count < 1:
        raise ValueError(f"cannot send {count} bytes")
    if connection.gettimeout() != 0.0:
        raise ValueError("sendfile needs a non-blocking socket")
    count = min(count, MAX_COUNT)
    if _os_sendfile is None:
        return copy_file(connection, fd, offset, count)
    try:
        return _os_sendfile(connection.fileno(), fd, offset, count)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise BlockingIOError(errno.EAGAIN, "the file is being read") from None
        if error.errno in _UNSUPPORTED:
            return copy_file(connection, fd, offset, count)
        raise


def copy_file(connection: socket.socket, fd: int, offset: int, count: int) -> int:
    """Do as `sendfile` does, by reading and sending at most one block."""
    block = os.pread(fd, min(count, _COPY_BLOCK), offset)
    if not block:
        return 0
    return connection.send(block)
