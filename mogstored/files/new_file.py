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


class UploadedFile(ABC):
    """What an upload writes to, through `fd`."""

    __slots__ = ("_mode", "_path", "_syncs", "fd")

    fd: int
    _path: bytes
    _syncs: Syncs
    _mode: int

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

    __slots__ = ("_dir_fd", "_temporary")

    def __init__(
        self, dir_fd: int, path: bytes, syncs: Syncs, mode: int, *, is_nameless: bool
    ) -> None:
        """Create it, in a directory that exists."""
        self._path, self._syncs, self._mode = path, syncs, mode
        self._dir_fd = dir_fd
        self._temporary: bytes | None = None
        if is_nameless:
            self.fd = nameless.create(path.rpartition(b"/")[0], dir_fd)
            return
        temporary = temporary_name(path)
        try:
            self.fd = os.open(temporary, _CREATE, UNFINISHED_MODE, dir_fd=dir_fd)
        except FileExistsError:
            # Left by a process that had our number: a chance of one in 2^32.
            temporary = temporary_name(path)
            self.fd = os.open(temporary, _CREATE, UNFINISHED_MODE, dir_fd=dir_fd)
        self._temporary = temporary

    def write(self, content: bytes | memoryview) -> None:
        """Append all of `content`."""
        written = os.write(self.fd, content)
        while written < len(content):
            # The disk is full, as a rule, and the next call says so.
            if not (more := os.write(self.fd, content[written:])):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += more

    def publish(self) -> None:
        try:
            if self._temporary is not None:
                os.fchmod(self.fd, self._mode)
            if self._syncs.files:
                self._syncs.sync_file(self.fd)
            if self._temporary is None:
                self._link()
            # Before the rename: a network file system may report only now that it is full.
            self._close()
            if self._temporary is not None:
                dir_fd = self._dir_fd
                os.rename(self._temporary, self._path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
                self._temporary = None
            if self._syncs.names:
                self._sync_name()
        except OSError as error:
            raise FileError(error.errno, error.strerror) from None

    def discard(self) -> None:
        super().discard()
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            os.unlink(temporary, dir_fd=self._dir_fd)

    def _link(self) -> None:
        """Give it its final name or, if that is taken, a temporary one."""
        try:
            nameless.link(self.fd, self._path, self._dir_fd)
        except FileExistsError:
            temporary = temporary_name(self._path)
            nameless.link(self.fd, temporary, self._dir_fd)
            self._temporary = temporary

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        try:
            os.close(fd)
        except OSError:
            if self._temporary is None:
                self._take_back()
            raise

    def _sync_name(self) -> None:
        try:
            self._syncs.sync_name(self._path)
        except OSError:
            # What the disk has is not known any more.
            self._take_back()
            raise

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path, dir_fd=self._dir_fd)


class FileInPlace(UploadedFile):
    """A file that is changed where it is, by clients that build a large one from parts."""

    __slots__ = ()

    def __init__(self, fd: int, path: bytes, syncs: Syncs, mode: int) -> None:
        self._path, self._syncs, self._mode = path, syncs, mode
        self.fd = fd

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
