"""The works that are measured, as data, and the files they need below a docroot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
FILES_PER_SIZE = 100
CONNECTIONS = (1, 16, 128)
_DIRECTORY = "dev1/0/000/000"
_PATHS_PER_CONNECTION = 2
_FEWEST_PATHS = 16


@dataclass(frozen=True, slots=True)
class Work:
    """One method with one size; file numbers start at `first_fid`, so works never share a path."""

    name: str
    method: str
    size: int
    first_fid: int
    files: int = FILES_PER_SIZE

    def path_count(self, connections: int) -> int:
        """How many paths the load goes through: for PUT more than there are connections."""
        if self.method == "GET":
            return self.files
        return max(_FEWEST_PATHS, _PATHS_PER_CONNECTION * connections)

    @property
    def path_format(self) -> str:
        """The path as a format for the number of the file, in C, Lua and Python alike."""
        return f"/{_DIRECTORY}/%010d.fid"

    def path(self, index: int) -> str:
        return self.path_format % (self.first_fid + index)


WORKS = (
    Work("get-1k", "GET", KIB, 1_000_000),
    Work("get-64k", "GET", 64 * KIB, 2_000_000),
    Work("get-1m", "GET", MIB, 3_000_000),
    Work("put-1k", "PUT", KIB, 4_000_000),
    Work("put-64k", "PUT", 64 * KIB, 5_000_000),
    Work("put-1m", "PUT", MIB, 6_000_000),
)
GET_1K = WORKS[0]
# Not one of those above: 128 connections would read 12 GiB in a second of it.
GET_100M = Work("get-100m", "GET", 100 * MIB, 7_000_000, files=1)
THREADS = "threads"
IDLE = "idle"
NAMES = (*(work.name for work in WORKS), THREADS, IDLE)


def write_content(master: Path) -> None:
    """Write the files of every GET work once."""
    (master / _DIRECTORY).mkdir(parents=True)
    for work in WORKS:
        if work.method == "GET":
            write_files(master, work)


def write_files(docroot: Path, work: Work) -> None:
    """Write the files of a GET work."""
    for index in range(work.files):
        fill(docroot / work.path(index)[1:], work.size)


def fill(file: Path, size: int) -> None:
    """Write a file of real blocks: a kernel answers for holes without reading anything."""
    block = b"m" * min(size, MIB)
    with file.open("wb") as opened:
        for _ in range(size // len(block)):
            opened.write(block)


def copy_content(master: Path, docroot: Path) -> None:
    """Give a docroot the same files.

    Not by links: a file with two names is none that a node may keep open, since it could
    not tell when one of them is gone.
    """
    (docroot / _DIRECTORY).mkdir(parents=True)
    for file in (master / _DIRECTORY).iterdir():
        shutil.copyfile(file, docroot / _DIRECTORY / file.name)


def content(work: Work) -> bytes:
    return b"m" * work.size


def space_bytes(names: list[str], connections: list[int], peers: int) -> int:
    """What the docroots of all peers may come to hold, with every PUT in flight twice."""
    read = FILES_PER_SIZE * sum(work.size for work in WORKS if work.method == "GET")
    counts = [work.path_count(c) for work in WORKS[-1:] for c in connections]
    written = sum(
        work.size * max(counts, default=0) * 2
        for work in WORKS
        if work.method == "PUT" and work.name in names
    )
    return read * (1 + peers) + written * peers
