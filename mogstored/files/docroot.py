"""Open, create, replace and remove files below one directory descriptor.

Every path is resolved from the docroot's descriptor and never from its name, so that the
tree may be renamed or mounted over while the node runs. Every method raises the plain
`OSError` of its system calls; the protocols decide what that means to a client.

**Threads:** any. The umask belongs to the process and is read once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from mogpoll import FileError
from mogstored.files import nameless
from mogstored.files.checksums import at_rest
from mogstored.files.checksums.at_rest import ChecksumsAtRest
from mogstored.files.durability import Syncs
from mogstored.files.names import device_number
from mogstored.files.new_file import (
    UNFINISHED_MODE,
    FileInPlace,
    NewFile,
    create_named,
    publish,
    remove,
    temporary_name,
    write_rest,
)
from mogstored.files.paths import is_own

_READ = os.O_RDONLY | os.O_CLOEXEC
_DIRECTORY = _READ | os.O_DIRECTORY
# Linux: reading a file does not write its inode. EPERM unless the process owns the file.
# Source: https://man7.org/linux/man-pages/man2/open.2.html
_NOATIME = getattr(os, "O_NOATIME", 0)
_REUSE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class Docroot:
    """The directory below which all devices lie; `path` has its links resolved."""

    def __init__(self, path: str, durability: str = "none", checksums: str = "auto") -> None:
        """Open `path`; `durability` and `checksums` are as the settings have them.

        **Raises:** `OSError` when it is not a directory that can be read.
        """
        self.path = os.path.realpath(path)
        self._fd = os.open(self.path, _DIRECTORY)
        self.syncs = Syncs(self._fd, durability)
        self.checksums = ChecksumsAtRest(checksums, self.path)
        # Whether files without a name can be made on a device. Single dict operations, which take
        # the table's lock on a free-threaded interpreter unless the key is the very same object.
        self._nameless: dict[bytes, bool] = {}
        umask = _read_umask()
        self.file_mode = 0o666 & ~umask
        self._directory_mode = 0o777 & ~umask

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def names(self) -> list[bytes]:
        """Return the names in the docroot, devices and others; touches none of them.

        It is opened anew: a listing moves the offset of its descriptor, which threads share, and
        processes that have inherited it. Of two at once, one would find a part or nothing.
        Source: https://man7.org/linux/man-pages/man2/open.2.html (open file descriptions)
        """
        fd = os.open(b".", _DIRECTORY, dir_fd=self._fd)
        try:
            return [os.fsencode(name) for name in os.listdir(fd)]
        finally:
            os.close(fd)

    def count_devices(self) -> int:
        """Return how many entries are named like devices; touches none of them."""
        return sum(device_number(name) is not None for name in self.names())

    def open_read(self, path: bytes) -> int:
        """Open for reading; never blocks on a FIFO, and leaves the access time alone.

        Waits for a regular file on which another program holds a lease (knfsd, Samba), until
        the kernel has taken that back: at most /proc/sys/fs/lease-break-time seconds.
        """
        _hide(path)
        try:
            return self._open_read(path, os.O_NONBLOCK)
        except BlockingIOError:
            if not stat.S_ISREG(self.stat(path).st_mode):
                raise
        # Source: https://man7.org/linux/man-pages/man2/fcntl.2.html#Leases
        return self._open_read(path, 0)

    def is_there(self, path: bytes) -> bool:
        """Say whether `path` names anything; a dangling link counts."""
        try:
            os.lstat(path, dir_fd=self._fd)
        except FileNotFoundError:
            return False
        return True

    def stat(self, path: bytes) -> os.stat_result:
        _hide(path)
        return os.stat(path, dir_fd=self._fd)

    def unlink(self, path: bytes) -> None:
        """Remove a file; the removal is as durable as the policy says."""
        _hide(path)
        try:
            os.unlink(path, dir_fd=self._fd)
        except FileNotFoundError:
            # A request may have removed it, and failed or been killed before the sync.
            if self.syncs.names:
                self.syncs.sync_name(path)
            raise
        if self.syncs.names:
            self.syncs.sync_name(path)

    def new_file(self, path: bytes, device: bytes = b"") -> NewFile:
        """Begin a file that will be at `path`, and make directories on the way.

        Never makes a device itself. Callers that know the device's name save finding it.
        """
        fd, temporary = self._create(path, device)
        return NewFile(fd, temporary, path, self.syncs, self.file_mode)

    def store(self, path: bytes, content: bytes | memoryview, device: bytes = b"") -> None:
        """Make `content` the whole of the file at `path`, and directories on the way.

        A failure leaves nothing behind.

        **Raises:** `FileError` once the file is created, other `OSError` before.
        """
        fd, temporary = self._create(path, device)
        try:
            write_rest(fd, content, os.write(fd, content))
            if self.checksums.for_every_file is not None:
                self.checksums.keep_of(fd, path, content)
        except BaseException as error:
            remove(fd, temporary, self._fd)
            if not isinstance(error, OSError):
                raise
            raise FileError(error.errno, error.strerror) from None
        publish(fd, temporary, path, self.syncs, self.file_mode)

    def open_in_place(self, path: bytes) -> FileInPlace:
        """Open `path` itself for writing; make it, and missing directories on the way.

        Its checksum is removed.
        """
        try:
            fd = os.open(path, _REUSE, UNFINISHED_MODE, dir_fd=self._fd)
        except FileNotFoundError:
            self._make_parents(path)
            fd = os.open(path, _REUSE, UNFINISHED_MODE, dir_fd=self._fd)
        try:
            if at_rest.remove(fd) and self.syncs.files:
                # Before anything that is written now: a power cut must not leave it beside that.
                os.fsync(fd)
        except OSError:
            close_read(fd)
            raise
        return FileInPlace(fd, path, self.syncs, self.file_mode)

    def _create(self, path: bytes, device: bytes) -> tuple[int, bytes]:
        """Create a file that will be at `path`, and directories on the way.

        Return its descriptor and its temporary name, which is empty if it needs none.
        """
        device = device or path.partition(b"/")[0]
        is_nameless = self._nameless.get(device)
        if is_nameless is None:
            is_nameless = self._try_nameless(device)
        if is_nameless:
            directory = path.rpartition(b"/")[0]
            try:
                try:
                    return os.open(directory, nameless.CREATE, nameless.MODE, dir_fd=self._fd), b""
                except FileNotFoundError:
                    self._make_parents(path)
                return os.open(directory, nameless.CREATE, nameless.MODE, dir_fd=self._fd), b""
            except OSError as error:
                if not nameless.is_refusal(error):
                    raise
        try:
            made = create_named(path, self._fd)
        except FileNotFoundError:
            self._make_parents(path)
            made = create_named(path, self._fd)
        if is_nameless:
            # Another file system may have been mounted there since.
            self._nameless[device] = False
        return made

    def _try_nameless(self, device: bytes) -> bool:
        """Find out whether files of the device are made without a name."""
        if device_number(device) is None:
            return False
        answer = nameless.can_link(device, temporary_name(device + b"/probe"), self._fd)
        if answer is not None:
            self._nameless[device] = answer
        return bool(answer)

    def _open_read(self, path: bytes, flags: int) -> int:
        try:
            return os.open(path, _READ | _NOATIME | flags, dir_fd=self._fd)
        except PermissionError as error:
            if error.errno != errno.EPERM or not _NOATIME:
                raise
        return os.open(path, _READ | flags, dir_fd=self._fd)

    def _make_parents(self, path: bytes) -> None:
        """Make the missing directories between the device and the file."""
        parts = [part for part in path.split(b"/") if part]
        for depth in range(2, len(parts)):
            with contextlib.suppress(FileExistsError):
                os.mkdir(b"/".join(parts[:depth]), self._directory_mode, dir_fd=self._fd)
        if self.syncs.names:
            self.syncs.forget(path.rpartition(b"/")[0])


def close_read(fd: int) -> None:
    """Close a file that was read or is thrown away, and ignore errors of its disk.

    The descriptor is released in any case (n31). Hangs with the disk.
    """
    with contextlib.suppress(OSError):
        os.close(fd)


def _hide(path: bytes) -> None:
    """**Raises:** `FileNotFoundError` for the node's own state."""
    # Most paths begin with a device, and this runs for every request.
    if path.startswith(b".") and is_own(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _read_umask() -> int:
    # It can only be read by setting it. Called before threads are started.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
