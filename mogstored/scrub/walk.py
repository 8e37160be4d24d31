"""The files of a device in an order that stays, from any place on, with nothing open in between.

Names are sorted as bytes within their directory, so the path of the last file is all that has to
be kept of a walk, and what is stored or removed meanwhile does not matter. Between two entries no
descriptor is open: the disk may be unmounted, which ends the walk.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# For root alone, at the top of a file system.
_NOT_OURS = frozenset({b"lost+found"})
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})


class Unmounted(Exception):
    """Another file system, or none, is where the device was."""


class Entry(NamedTuple):
    """A regular file, or a directory that was read; `path` is below the device."""

    path: bytes
    is_directory: bool = False
    error: OSError | None = None
    """Why the directory could not be read."""


class Walk:
    """The entries below the directory `root`. Links and other file systems are not followed.

    **Threads:** for one.
    **Raises:** `OSError` when there is no such directory.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(os.fsencode(root))
        found = os.stat(self.root)
        self._st_dev, self._st_ino = found.st_dev, found.st_ino

    def entries(self, after: bytes = b"") -> Iterator[Entry]:
        """Yield those that come after the file `after`, which need not be there.

        **Raises:** `Unmounted`.
        """
        start = after.split(b"/") if after else []
        error, children = self._read(b"")
        yield Entry(b"", is_directory=True, error=error)
        waiting = [_Level(b"", children, start)]
        while waiting:
            name, is_directory = waiting[-1].next()
            if not name:
                waiting.pop()
                continue
            path, start = waiting[-1].path_of(name), waiting[-1].start_below(name)
            if not is_directory:
                yield Entry(path)
                continue
            error, children = self._read(path)
            yield Entry(path, is_directory=True, error=error)
            waiting.append(_Level(path, children, start))
        self.check()

    def check(self) -> None:
        """See if the device is still there. **Raises:** `Unmounted`."""
        try:
            found = os.stat(self.root)
            is_there = (found.st_dev, found.st_ino) == (self._st_dev, self._st_ino)
        except OSError as error:
            if error.errno not in _VANISHED:
                # It is there, and fails.
                return
            is_there = False
        if not is_there:
            raise Unmounted

    def _read(self, path: bytes) -> tuple[OSError | None, list[tuple[bytes, bool]]]:
        """Return the names in a directory, sorted, and which are directories; or the error."""
        try:
            fd = os.open(self.root + b"/" + path, _DIRECTORY)
            try:
                if os.fstat(fd).st_dev == self._st_dev:
                    return None, sorted(_children(fd, is_top=not path))
            finally:
                with contextlib.suppress(OSError):
                    os.close(fd)
        except OSError as error:
            if error.errno not in _VANISHED:
                return error, []
        # It has vanished, or is another file system.
        self.check()
        return None, []


def _children(fd: int, *, is_top: bool) -> Iterator[tuple[bytes, bool]]:
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                if not (is_top and name in _NOT_OURS):
                    yield name, True
            elif entry.is_file(follow_symlinks=False):
                yield name, False


class _Level:
    """What is left of a directory."""

    def __init__(
        self, path: bytes, children: list[tuple[bytes, bool]], start: list[bytes]
    ) -> None:
        self._prefix = path + b"/" if path else b""
        self._first = start[0] if start else b""
        self._below = start[1:]
        # The last file itself was read; the directory that holds it was read in part.
        self._children = iter(
            [
                (name, is_directory)
                for name, is_directory in children
                if name > self._first or (name == self._first and is_directory and self._below)
            ]
        )

    def next(self) -> tuple[bytes, bool]:
        return next(self._children, (b"", False))

    def path_of(self, name: bytes) -> bytes:
        return self._prefix + name

    def start_below(self, name: bytes) -> list[bytes]:
        return self._below if name == self._first else []
