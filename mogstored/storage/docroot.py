"""Open, create, replace and remove files below one directory descriptor.

Every path is resolved from the docroot's descriptor and never from its name, so that the
tree may be renamed or mounted over while the node runs. Errors are plain `OSError`; what
they mean to a client is for the protocol to say.

**Threads:** any. umask is a property of the process and is read once.
"""

from __future__ import annotations

import contextlib
import errno
import os
from random import getrandbits

from mogstored.storage.device import device_number

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
# Linux: do not turn each read of a file into a write of its inode. Refused (EPERM) to who
# does not own the file.
_NOATIME = getattr(os, "O_NOATIME", 0)
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_CLOEXEC
_REUSE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC

# Nobody but the node should open a file that is not complete.
_UNFINISHED_MODE = 0o600


class Docroot:
    """The directory below which everything lies; `path` has its links resolved."""

    def __init__(self, path: str) -> None:
        """Open `path`.

        **Raises:** `OSError` when it is not a directory that can be read.
        """
        self.path = os.path.realpath(path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        umask = _read_umask()
        self.file_mode = 0o666 & ~umask
        self._directory_mode = 0o777 & ~umask

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def count_devices(self) -> int:
        """Return how many entries are named like devices; touches none of them."""
        names = map(os.fsencode, os.listdir(self._fd))
        return sum(device_number(name) is not None for name in names)

    def open_read(self, path: bytes) -> int:
        """Open for reading; never blocks on a FIFO, and leaves the access time alone."""
        try:
            return os.open(path, _READ | _NOATIME, dir_fd=self._fd)
        except PermissionError as error:
            if error.errno != errno.EPERM or not _NOATIME:
                raise
        return os.open(path, _READ, dir_fd=self._fd)

    def stat(self, path: bytes) -> os.stat_result:
        return os.stat(path, dir_fd=self._fd)

    def unlink(self, path: bytes) -> None:
        os.unlink(path, dir_fd=self._fd)

    def rename(self, source: bytes, target: bytes) -> None:
        os.rename(source, target, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def create_temporary(self, path: bytes) -> tuple[int, bytes]:
        """Create a new file beside `path`; return its descriptor and its name.

        Missing directories on the way are made, but never a device itself.
        """
        try:
            return self._create_temporary(path)
        except FileNotFoundError:
            self._make_parents(path)
        return self._create_temporary(path)

    def store(self, path: bytes, content: bytes) -> None:
        """Make `content` the whole of the file at `path`, whose directory exists.

        **Raises:** `OSError`; no trace is left then.
        """
        temporary = _temporary_name(path)
        fd = os.open(temporary, _CREATE, _UNFINISHED_MODE, dir_fd=self._fd)
        try:
            try:
                written = os.write(fd, content)
                os.fchmod(fd, self.file_mode)
            finally:
                # Before the rename: a network file system may find out only now that it is full.
                os.close(fd)
            if written != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.rename(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                self.unlink(temporary)
            raise

    def open_in_place(self, path: bytes) -> int:
        """Open `path` itself for writing; make it, and directories on the way, if missing."""
        try:
            return os.open(path, _REUSE, _UNFINISHED_MODE, dir_fd=self._fd)
        except FileNotFoundError:
            self._make_parents(path)
        return os.open(path, _REUSE, _UNFINISHED_MODE, dir_fd=self._fd)

    def _create_temporary(self, path: bytes) -> tuple[int, bytes]:
        for is_last in (False, True):
            name = _temporary_name(path)
            try:
                return os.open(name, _CREATE, _UNFINISHED_MODE, dir_fd=self._fd), name
            except FileExistsError:
                if is_last:
                    raise
        raise AssertionError("not reached")

    def _make_parents(self, path: bytes) -> None:
        """Make the directories between the device and the file, as far as they miss."""
        parts = [part for part in path.split(b"/") if part]
        for depth in range(2, len(parts)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(b"/".join(parts[:depth]), self._directory_mode, dir_fd=self._fd)


def _temporary_name(path: bytes) -> bytes:
    return b"%b.%08x.%d.tmp" % (path, getrandbits(32), os.getpid())


def _read_umask() -> int:
    # There is no way of reading it but setting it. Called before threads are started.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
