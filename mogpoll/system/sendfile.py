"""Send part of a file to a socket, the same way on every system.

- Count 0 sends nothing on Linux, the rest of the file on FreeBSD (n37): it is refused.
- A partial transfer to a full socket is an error with a count on FreeBSD; CPython returns the
  count (n38). EBUSY means that the pages are not in memory and the call was not to wait.
- Some file systems have no sendfile (n40).
- An errno may belong to either descriptor: ETIMEDOUT to the client or an NFS server, ENOTCONN
  to the client or a FUSE daemon. A failed transfer is repeated as read and send: one fails.
- On a blocking socket CPython restarts an interrupted transfer from the old offset (n39): only
  non-blocking sockets are accepted.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

# Per call, so that a fast client cannot hold a thread for a whole large file.
MAX_COUNT = 100 * 1024 * 1024

# Fills a socket buffer; little is wasted if the socket takes less.
_COPY_BLOCK = 128 * 1024

_os_sendfile: Callable[[int, int, int, int], int] | None = getattr(os, "sendfile", None)


class FileError(OSError):
    """The file failed, not the socket, whatever `errno` suggests.

    Never an instance of a subclass that Python picks by errno, such as `TimeoutError`.
    """


def sendfile(connection: socket.socket, fd: int, offset: int, count: int) -> int:
    """Send up to `count` bytes of file `fd` from `offset` on; return how many were sent.

    0 means that the file ends at or before `offset`; any other count may be short.

    **Threads:** any; the file's position is neither used nor changed.

    **Raises:** `BlockingIOError` if the socket is full, `FileError` if the file cannot be read,
    other `OSError` of the socket; `ValueError` for a blocking socket or a count below 1. EAGAIN
    of the file looks like a full socket; `copy_file` checks which.
    """
    if count < 1:
        raise ValueError(f"sendfile of {count} bytes: count must be at least 1")
    if connection.gettimeout() != 0.0:
        raise ValueError("sendfile needs a non-blocking socket: call setblocking(False)")
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
        return copy_file(connection, fd, offset, count)


def copy_file(connection: socket.socket, fd: int, offset: int, count: int) -> int:
    """Do what `sendfile` does by read and send, at most 128 KiB a call.

    **Raises:** `FileError` if the read fails, other `OSError` of the socket.
    """
    try:
        block = os.pread(fd, min(count, _COPY_BLOCK), offset)
    except OSError as error:
        raise FileError(error.errno, error.strerror) from None
    if not block:
        return 0
    return connection.send(block)
