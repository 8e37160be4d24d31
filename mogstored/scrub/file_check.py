"""One file, read to its end and compared with the checksum beside it.

It is read in pieces, and is not open between two of them: the reader may rest there for as long as
it likes, and the disk may be unmounted. A file whose inode, size or times have changed since the
first piece is passed over. One that differs from its checksum is read once more.

What is in the page cache says nothing about the disk, so the file is dropped from it first, and
again when it was read: it must not take the place of what clients want. One that they want, too,
costs them a read of the disk, once in a scrub.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from typing import Any

from mogpoll import lowered_io_priority
from mogstored.files.checksums import at_rest
from mogstored.files.checksums.at_rest import BadChecksum
from mogstored.files.docroot import close_read
from mogstored.log.printable import printable, reason
from mogstored.scrub.verdict import Kind, Verdict

# A FIFO that has taken the place of a file does not block; a lease is another program's business.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOATIME = getattr(os, "O_NOATIME", 0)
_NOT_THE_DISK = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENXIO, errno.EWOULDBLOCK}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
# Of a value that is no digest, so much is shown.
_SHOWN = 80

_Identity = tuple[int, ...]


class FileCheck:
    """The verdict on one file, as far as it is known.

    **Threads:** for one.
    """

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._is_again = False
        self._begin()

    def step(self, buffer: memoryview) -> tuple[int, Verdict | None]:
        """Fill the buffer; return with how many bytes, and the verdict if it is known now."""
        before = self._offset
        with lowered_io_priority(idle=True):
            try:
                fd = _open(self._path)
                try:
                    verdict = self._read(fd, buffer)
                finally:
                    close_read(fd)
            except BadChecksum as bad:
                algorithm, value = bad.args
                shown = value[:_SHOWN].decode("ascii", "backslashreplace")
                verdict = Verdict(Kind.BAD_CHECKSUM, f"a digest ({algorithm})", printable(shown))
            except OSError as error:
                if error.errno in _NOT_THE_DISK:
                    verdict = Verdict(Kind.PASSED_OVER)
                else:
                    verdict = Verdict(Kind.UNREADABLE, "", self._where(error), error)
        read = self._offset - before
        if verdict is not None and verdict.kind is Kind.MISMATCH and not self._is_again:
            self._is_again = True
            self._begin()
            verdict = None
        return read, verdict

    def _begin(self) -> None:
        self._offset = 0
        self._identity: _Identity | None = None
        self._expected: dict[str, bytes] = {}
        self._hashes: dict[str, Any] = {}

    def _read(self, fd: int, buffer: memoryview) -> Verdict | None:
        status = os.fstat(fd)
        if self._identity is None:
            if not stat.S_ISREG(status.st_mode):
                return Verdict(Kind.PASSED_OVER)
            self._identity = _identity(status)
            self._expected = at_rest.read(fd)
            self._hashes = {
                name: hashlib.new(name, usedforsecurity=False) for name in self._expected
            }
            _drop(fd, 0, 0)
        elif _identity(status) != self._identity:
            return Verdict(Kind.PASSED_OVER)
        begin, end = self._offset, min(self._offset + len(buffer), status.st_size)
        while self._offset < end:
            size = os.preadv(fd, [buffer[: end - self._offset]], self._offset)
            if not size:
                break
            for each in self._hashes.values():
                each.update(buffer[:size])
            self._offset += size
        _drop(fd, begin, self._offset - begin)
        if self._offset == end < status.st_size:
            return None
        return self._judge(fd, status)

    def _judge(self, fd: int, status: os.stat_result) -> Verdict:
        """Return the verdict on a file that was read to its end."""
        if _identity(os.fstat(fd)) != self._identity:
            return Verdict(Kind.PASSED_OVER)
        for name, expected in self._expected.items():
            found = self._hashes[name].digest()
            if found != expected:
                return Verdict(Kind.MISMATCH, f"{name} {expected.hex()}", f"{name} {found.hex()}")
        if self._offset < status.st_size:
            missing = f"the end of the file at {self._offset}"
            return Verdict(Kind.UNREADABLE, f"{status.st_size} bytes", missing)
        return Verdict(Kind.SOUND if self._expected else Kind.UNCHECKED)

    def _where(self, error: OSError) -> str:
        return f"{reason(error)} at {self._offset}" if self._identity else reason(error)


def _open(path: bytes) -> int:
    try:
        return os.open(path, _READ | _NOATIME)
    except PermissionError as error:
        # Linux lets only the owner of a file leave its access time alone.
        if error.errno != errno.EPERM or not _NOATIME:
            raise
    return os.open(path, _READ)


def _identity(status: os.stat_result) -> _Identity:
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times


def _drop(fd: int, offset: int, size: int) -> None:
    """Drop a part of the file, or all of it, from the page cache, where there is a call for it."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)
