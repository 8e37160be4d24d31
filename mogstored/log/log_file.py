"""A file of whole lines that several processes append to, and that is rotated by renaming it.

O_APPEND puts each write behind the others, so a write of whole lines leaves lines whole. Only a
full disk takes a part of a write; the rest is kept, and goes first when there is room again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

# Non-blocking matters to pipes alone: the open waits for no reader, a write for no room.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MODE = 0o640


class LogFile:
    """A sink (`mogstored.log.bounded_writer`) for a path, created with mode 0640.

    **Threads:** one. Every method may block as long as the disk does.
    """

    def __init__(self, path: str, fd: int | None = None) -> None:
        """Open the path, unless `fd` is open already.

        **Raises:** `OSError`.
        """
        self._path = path
        self._rest = b""
        self._fd = _open(path) if fd is None else fd

    @classmethod
    def inherited(cls, fd: int) -> LogFile:
        """Append to the file that `fd` is open for; it has no path to be opened again."""
        return cls("", os.dup(fd))

    def is_regular(self) -> bool:
        """Say whether it takes a write of any size as a whole, as a pipe does not."""
        return stat.S_ISREG(os.fstat(self._fd).st_mode)

    def take(self, message: bytes) -> bool:
        if not self.finish():
            return False
        try:
            self._rest = message[os.write(self._fd, message) :]
        except BlockingIOError:
            return False
        return True

    def finish(self) -> bool:
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
        except BlockingIOError:
            return False
        return True

    def count_left(self) -> int:
        """Return how many lines are kept for `finish`."""
        return self._rest.count(b"\n")

    def reopen(self) -> None:
        """Go on with the file that has the path now; a line that is begun ends in the old one.

        **Raises:** `OSError`, and the old file stays open.
        """
        if not self._path:
            return
        fd = _open(self._path)
        old, self._fd = self._fd, fd
        begun = self._rest.find(b"\n") + 1
        with contextlib.suppress(OSError):
            os.write(old, self._rest[:begun])
        self._rest = self._rest[begun:]
        os.close(old)

    def abandon(self) -> None:
        self._rest = b""

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def check_path(path: str) -> None:
    """Find out whether `LogFile` could open the path, without creating the file.

    **Raises:** `OSError` if not.
    """
    with contextlib.suppress(FileNotFoundError):
        os.close(os.open(path, _FLAGS))
        return
    parent = os.path.dirname(path) or "."
    os.close(os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _open(path: str) -> int:
    return os.open(path, _FLAGS | os.O_CREAT, _MODE)
