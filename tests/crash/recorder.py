"""The process behind an image file that records what the kernel writes to it, and its flushes.

    python -m tests.crash.recorder DIRECTORY IMAGE RECORD POSITION

In DIRECTORY there is one file, `image`, which begins as the file IMAGE and leaves that as it is.
A loop device writes each block to it that its file system writes, and syncs it where a disk
would be flushed. Both are appended to the file RECORD before they are answered. The file POSITION
holds how many there are.
"""

from __future__ import annotations

import mmap
import stat
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.bad_disk import wire
from bench.bad_disk.disk import Disk
from bench.bad_disk.memory import ROOT
from bench.bad_disk.server import serve

if TYPE_CHECKING:
    from bench.bad_disk.wire import Request

# Of each event: offset and size of what follows. A flush has size 0.
EVENT = struct.Struct("=QQ")
COUNT_BYTES = 8


class ImageDisk(Disk):
    """A disk with one file of a fixed size."""

    def __init__(self, image: Path, record: Path, position: Path) -> None:
        super().__init__()
        self._image = self._memory.make(ROOT, b"image", stat.S_IFREG | 0o600, 0, 0)
        with image.open("rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        # Its pages exist once they are written.
        self._image.content = cast("bytearray", self._content)
        self._record = record.open("ab", buffering=0)
        with position.open("r+b") as file:
            # Written in one store, so that no reader sees a part of it.
            self._position = memoryview(mmap.mmap(file.fileno(), COUNT_BYTES)).cast("Q")
        self._count = 0

    def _write(self, request: Request) -> bytes:
        _, offset, size, *_ = wire.READ_WRITE.unpack_from(request.body)
        data = request.body[wire.READ_WRITE.size :]
        self._content[offset : offset + size] = data
        self._note(offset, data)
        return wire.MODE.pack(size, 0)

    def _fsync(self, _request: Request) -> bytes:
        self._note(0, b"")
        return b""

    def _note(self, offset: int, data: bytes) -> None:
        self._record.write(EVENT.pack(offset, len(data)) + data)
        self._count += 1
        self._position[0] = self._count


if __name__ == "__main__":
    _mount, *_files = sys.argv[1:]
    serve(_mount, ImageDisk(*map(Path, _files)))
