"""What a recorded disk could hold at a moment at which its power fails.

It holds all that was written before the last flush. Of the blocks written since then it holds any
part: a disk writes from its cache in the order it likes, but never an older content over a newer
one. So each order leaves a subset of them, in their own order.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from tests.crash.recorder import COUNT_BYTES, EVENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

# Disks of today write so much or nothing.
BLOCK = 4096


class Write(NamedTuple):
    offset: int
    data: memoryview


class Position:
    """How far the record is; read while it is written."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(COUNT_BYTES))
        with path.open("rb") as file:
            count = mmap.mmap(file.fileno(), COUNT_BYTES, access=mmap.ACCESS_READ)
        self._count = memoryview(count).cast("Q")

    def __call__(self) -> int:
        return self._count[0]


class Record:
    """The events in a file, in their order; a moment is a number of them."""

    def __init__(self, path: Path) -> None:
        self.flushes: list[int] = []
        """The moments at which a flush was complete."""
        self._events: list[Write] = []
        content, at = memoryview(path.read_bytes()), 0
        # It may be written to meanwhile.
        while at + EVENT.size <= len(content):
            offset, size = EVENT.unpack_from(content, at)
            at += EVENT.size
            if at + size > len(content):
                break
            self._events.append(Write(offset, content[at : at + size]))
            at += size
            if not size:
                self.flushes.append(len(self._events))

    def __len__(self) -> int:
        return len(self._events)

    def flushed_at(self, moment: int) -> int:
        """Return how many events are on the disk for certain at `moment`."""
        before = bisect_left(self.flushes, moment + 1)
        return self.flushes[before - 1] if before else 0

    def writes(self, begin: int, end: int) -> list[Write]:
        return [event for event in self._events[begin:end] if event.data]


class Images:
    """Makes the images of one record, at moments that never go back."""

    def __init__(self, base: Path, record: Record, scratch: Path) -> None:
        self._record = record
        self._flushed = 0
        self._durable = scratch / "durable.img"
        copy_sparse(base, self._durable)

    def build(self, moment: int, image: Path, draw: Random | None) -> None:
        """Make the file `image` what the disk could hold at `moment`; all of it without `draw`."""
        flushed = self._record.flushed_at(moment)
        _apply(self._durable, self._record.writes(self._flushed, flushed))
        self._flushed = flushed
        copy_sparse(self._durable, image)
        cached = self._record.writes(flushed, moment)
        _apply(image, cached if draw is None else survivors(cached, draw))


def survivors(writes: list[Write], draw: Random) -> list[Write]:
    """Draw which blocks of these writes have reached the disk."""
    share = draw.choice([0.0, 0.0, 0.1, 0.5, 0.9, 1.0])
    if draw.random() < 0.3:
        # In order, up to one of them.
        writes, share = writes[: draw.randint(0, len(writes))], 1.0
    return [block for write in writes for block in _blocks(write) if draw.random() < share]


def _blocks(write: Write) -> Iterator[Write]:
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // BLOCK + 1) * BLOCK)
        yield Write(at, write.data[at - write.offset : until - write.offset])
        at = until


def _apply(image: Path, writes: list[Write]) -> None:
    fd = os.open(image, os.O_WRONLY)
    try:
        for write in writes:
            os.pwrite(fd, write.data, write.offset)
    finally:
        os.close(fd)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file without its holes."""
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        end = 0
        while end < size:
            try:
                begin = os.lseek(old.fileno(), end, os.SEEK_DATA)
            except OSError:
                # ENXIO: a hole up to the end.
                return
            end = os.lseek(old.fileno(), begin, os.SEEK_HOLE)
            os.pwrite(new.fileno(), os.pread(old.fileno(), end - begin, begin), begin)
