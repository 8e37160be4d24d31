"""Find the descriptors that a library opened internally, from /proc."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

_TARGET = re.compile(r"tfd:\s*(\d+) .*\bino:([0-9a-f]+)")


class PipeEnd(NamedTuple):
    """A descriptor, and the inode that it shares with the other end."""

    fd: int
    inode: int

    def is_open(self) -> bool:
        return _inode(self.fd) == self.inode


def other_end(fd: int) -> PipeEnd | None:
    """Return this process's descriptor at the other end of `fd`, if `fd` is a pipe."""
    status = os.fstat(fd)
    if not stat.S_ISFIFO(status.st_mode):
        return None
    for other in _open_descriptors(near=fd):
        if other != fd and _inode(other) == status.st_ino:
            return PipeEnd(other, status.st_ino)
    return None


def watcher_of(watched: int, near: int) -> int | None:
    """Return the epoll descriptor that watches `watched`, looking first around `near`."""
    wanted = (watched, os.fstat(watched).st_ino)
    for fd in _open_descriptors(near):
        if wanted in _watched_by(fd):
            return fd
    return None


def _watched_by(fd: int) -> Iterator[tuple[int, int]]:
    """Yield number and inode of every file that `fd` watches, if it is an epoll."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as info:
            lines = info.readlines()
    except OSError:  # closed since it was listed
        return
    for line in lines:
        if target := _TARGET.match(line):
            yield int(target[1]), int(target[2], 16)


def _open_descriptors(near: int) -> list[int]:
    return sorted(map(int, os.listdir("/proc/self/fd")), key=lambda fd: abs(fd - near))


def _inode(fd: int) -> int | None:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None
