"""Write a file to a device, read it back, and remove it.

What is read must come from the disk, not from memory: the system is asked to drop the file's
pages before. A file system that lives in memory, such as tmpfs, has nothing to drop.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic

from mogstored.files.new_file import temporary_name

STEPS = ("create", "write", "sync", "read", "rename", "delete")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_BLOCK = 1024 * 1024
_MARK = 16

Note = Callable[[str, int], None]
"""Is given the step under way, and how many bytes it has done."""


@dataclass(slots=True)
class Result:
    """How a check went: seconds by step, and what has failed, if anything has."""

    size: int
    seconds: dict[str, float] = field(default_factory=dict)
    failed: str = ""
    """The step that failed."""
    reason: str = ""
    """Why."""


class Differs(OSError):
    """What was read is not what was written."""

    def __init__(self, offset: int) -> None:
        super().__init__(errno.EIO, f"other bytes came back than were written, from {offset} on")


def exercise(directory: str, size: int, note: Note = lambda _step, _bytes: None) -> Result:
    """Check the device whose directory this is with a file of `size` bytes; leaves nothing.

    Its name is that of an upload: what a crash leaves is removed as other left-overs are.

    **Raises:** what `note` does. Errors of the disk are in the result.
    """
    result = Result(size)
    check = _Check(directory, size, note)
    step = STEPS[0]
    try:
        for step in STEPS:
            note(step, 0)
            began = monotonic()
            getattr(check, step)()
            result.seconds[step] = monotonic() - began
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        result.failed = step
        name = "" if isinstance(error, Differs) else errno.errorcode.get(error.errno or 0, "")
        result.reason = f"{error.strerror} ({name})" if name else str(error.strerror)
    finally:
        check.clean_up()
    return result


class _Check:
    """One file, on its way through the steps."""

    def __init__(self, directory: str, size: int, note: Note) -> None:
        self._directory = directory
        self._size = size
        self._note = note
        self._dir_fd = self._fd = -1
        self._name: bytes | None = None
        self._pattern = os.urandom(_BLOCK)

    def create(self) -> None:
        self._dir_fd = os.open(self._directory, _DIRECTORY)
        name = temporary_name(b"check")
        self._fd = os.open(name, _CREATE, 0o600, dir_fd=self._dir_fd)
        self._name = name

    def write(self) -> None:
        for offset, block in self._blocks():
            rest = memoryview(block)
            while rest:
                if not (written := os.write(self._fd, rest)):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                rest = rest[written:]
            self._note("write", offset + len(block))

    def sync(self) -> None:
        os.fsync(self._fd)
        os.fsync(self._dir_fd)

    def read(self) -> None:
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        for offset, block in self._blocks():
            if os.pread(self._fd, len(block), offset) != block:
                raise Differs(offset)
            self._note("read", offset + len(block))

    def rename(self) -> None:
        assert self._name is not None
        name = temporary_name(b"checked")
        os.rename(self._name, name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        self._name = name

    def delete(self) -> None:
        assert self._name is not None
        os.unlink(self._name, dir_fd=self._dir_fd)
        self._name = None
        os.fsync(self._dir_fd)

    def clean_up(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        if self._dir_fd >= 0:
            if self._name is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._name, dir_fd=self._dir_fd)
            with contextlib.suppress(OSError):
                os.close(self._dir_fd)

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the content with offsets; no two blocks are alike, of this check or another."""
        for offset in range(0, self._size, _BLOCK):
            block = offset.to_bytes(_MARK, "big") + self._pattern[_MARK:]
            yield offset, block[: self._size - offset]
