"""A file on its way: written, then published under its name, or discarded.

Until it is published, the name shows what it showed before. Where a file can be made without a
name (`mogstored.files.nameless`), it is linked when it is complete; a file that replaces another
is linked under a temporary name then, and renamed over it. Elsewhere it has the temporary name
from the start.

**Threads:** for the owner of the upload.
"""

from __future__ import annotations

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from random import getrandbits

from mogpoll import FileError
from mogstored.files import nameless
from mogstored.files.durability import Syncs

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# Until a file is complete, no other user opens it.
UNFINISHED_MODE = 0o600

# The name of an incomplete file, beside its final name: path, random number, PID.
_TEMPORARY = b"%b.%08x.%d.tmp"


def temporary_name(path: bytes) -> bytes:
    """Return a name beside `path` that no other file has."""
    return _TEMPORARY % (path, getrandbits(32), os.getpid())


def create_named(path: bytes, dir_fd: int) -> tuple[int, bytes]:
    """Create a file beside `path`; return its descriptor and its temporary name."""
    temporary = temporary_name(path)
    try:
        return os.open(temporary, _CREATE, UNFINISHED_MODE, dir_fd=dir_fd), temporary
    except FileExistsError:
        # Left by a process that had our number: a chance of one in 2^32.
        temporary = temporary_name(path)
    return os.open(temporary, _CREATE, UNFINISHED_MODE, dir_fd=dir_fd), temporary


def write_rest(fd: int, content: bytes | memoryview, written: int) -> None:
    """Write what a write has left of `content`."""
    while written < len(content):
        # The disk is full, as a rule, and the next call says so.
        if not (more := os.write(fd, content[written:])):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written += more


def publish(fd: int, temporary: bytes, path: bytes, syncs: Syncs, mode: int) -> None:
    """Make what was written the file at `path`, as durable as the policy says; close it.

    `temporary` is the name that it has, if any.

    **Raises:** `FileError`. After any exception, nothing is left of it.
    """
    name, dir_fd = temporary, syncs.dir_fd
    try:
        if temporary:
            os.fchmod(fd, mode)
        if syncs.files:
            syncs.sync_file(fd)
        if not temporary:
            try:
                nameless.link(fd, path, dir_fd)
                name = path
            except FileExistsError:
                temporary = temporary_name(path)
                nameless.link(fd, temporary, dir_fd)
                name = temporary
        # Before a rename: a network file system may report only now that it is full.
        closed, fd = fd, -1
        os.close(closed)
        if temporary:
            os.rename(temporary, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            name = path
        if syncs.names:
            syncs.sync_name(path)
    except BaseException as error:
        # What the disk has of it is not known.
        remove(fd, name, dir_fd)
        if not isinstance(error, OSError):
            raise
        raise FileError(error.errno, error.strerror) from None


def remove(fd: int, name: bytes, dir_fd: int) -> None:
    """Close a file and remove it, as far as it is open and has a name, and that succeeds."""
    if fd >= 0:
        with contextlib.suppress(OSError):
            os.close(fd)
    if name:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=dir_fd)


class UploadedFile(ABC):
    """What an upload writes to, through `fd`."""

    __slots__ = ("_mode", "_path", "_syncs", "fd")

    def __init__(self, fd: int, path: bytes, syncs: Syncs, mode: int) -> None:
        self.fd = fd
        self._path, self._syncs, self._mode = path, syncs, mode

    @abstractmethod
    def publish(self) -> None:
        """Make what was written the file of its name, as durable as the policy says; close it.

        **Raises:** `FileError`; the caller discards it then.
        """

    def discard(self) -> None:
        """Close it, and remove what was made of it.

        **Raises:** `OSError` if something has to stay.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


class NewFile(UploadedFile):
    """A file that becomes visible whole, or not at all."""

    __slots__ = ("_temporary",)

    def __init__(self, fd: int, temporary: bytes, path: bytes, syncs: Syncs, mode: int) -> None:
        super().__init__(fd, path, syncs, mode)
        self._temporary = temporary

    def publish(self) -> None:
        fd, temporary = self.fd, self._temporary
        self.fd, self._temporary = -1, b""
        publish(fd, temporary, self._path, self._syncs, self._mode)

    def discard(self) -> None:
        super().discard()
        temporary, self._temporary = self._temporary, b""
        if temporary:
            os.unlink(temporary, dir_fd=self._syncs.dir_fd)


class FileInPlace(UploadedFile):
    """A file that is changed where it is, by clients that build a large one from parts."""

    __slots__ = ()

    def publish(self) -> None:
        try:
            os.fchmod(self.fd, self._mode)
            if self._syncs.files:
                self._syncs.sync_file(self.fd)
            fd, self.fd = self.fd, -1
            os.close(fd)
            if self._syncs.names:
                self._syncs.sync_name(self._path)
        except OSError as error:
            raise FileError(error.errno, error.strerror) from None
