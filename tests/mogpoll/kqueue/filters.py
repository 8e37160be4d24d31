"""What READ and WRITE of a BSD's kqueue would say of a descriptor, worked out from Linux's poll.

The socket's error is not touched: SO_ERROR would clear it, and a BSD leaves it for the next call.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import stat
import struct
import termios
from typing import NamedTuple

READ, WRITE, TIMER = -1, -2, -7
EOF = 0x8000

# Of an epoll, for a filter; Linux's numbers, so that every system can import this.
MASKS = {READ: 0x001 | 0x2000, WRITE: 0x004}
_POLLRDHUP = 0x2000
_ENDED = select.POLLHUP | select.POLLERR
# tcpi_rtt in struct tcp_info: 0 until the peer has answered.
_RTT = struct.Struct("@68xI")

# The device and the inode: the number alone may be reused.
File = tuple[int, int]


class Seen(NamedTuple):
    """The state of a filter: flags, error and count of the event, if it is active."""

    is_active: bool
    flags: int = 0
    fflags: int = 0
    data: int = 0


def file_of(fd: int) -> File | None:
    """Return what the number stands for; None if it is closed."""
    try:
        status = os.fstat(fd)
    except (OSError, OverflowError):
        return None
    return status.st_dev, status.st_ino


def is_pipe(fd: int) -> bool:
    return stat.S_ISFIFO(os.fstat(fd).st_mode)


def look(fd: int, filter_: int) -> Seen:
    """Return the state of a filter now."""
    bits = _poll(fd, MASKS[filter_])
    if not bits:
        return Seen(False)
    ended = bits & (_ENDED | (_POLLRDHUP if filter_ == READ else 0))
    error = _error_of(fd) if bits & select.POLLERR else 0
    count = _unread(fd) if filter_ == READ else int(bool(bits & select.POLLOUT))
    return Seen(True, EOF if ended else 0, error, count)


def lost_its_reader(fd: int) -> bool:
    """Whether `fd` is a pipe without a reader."""
    return is_pipe(fd) and bool(_poll(fd, select.POLLOUT) & select.POLLERR)


def is_full_without_a_reader(fd: int) -> bool:
    return is_pipe(fd) and _poll(fd, select.POLLOUT) == select.POLLERR


def _poll(fd: int, mask: int) -> int:
    poll = select.poll()
    poll.register(fd, mask)
    for _, bits in poll.poll(0):
        return bits & ~select.POLLNVAL
    return 0


def _unread(fd: int) -> int:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        # A listener or an eventfd.
        return 1
    return count[0]


def _error_of(fd: int) -> int:
    """Return the error of a broken connection, without taking it from the socket."""
    if is_pipe(fd):
        return 0
    with socket.socket(fileno=os.dup(fd)) as same:
        if same.family not in (socket.AF_INET, socket.AF_INET6):
            # Linux resets a pair whose data is left unread; elsewhere it has ended.
            return 0
        info = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RTT.size)
    return errno.ECONNRESET if _RTT.unpack(info)[0] else errno.ECONNREFUSED
