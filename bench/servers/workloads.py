"""What is asked of a server, as data, and the files that this needs below a docroot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
# Files that are read have smaller numbers than this, and files that a load stores larger ones.
FIRST_STORED = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """One method with one size; the ranges of file numbers of no two workloads meet."""

    name: str
    method: str
    size: int
    first_fid: int
    files: int = 100
    """On each device; for a PUT, how many the load stores in one directory."""
    devices: tuple[int, int] = (1, 1)
    """The first and the last one asked for."""
    is_again: bool = False
    """Whether a PUT stores under the same names over and over; else no name repeats."""

    @property
    def title(self) -> str:
        return f"{self.method} {size_text(self.size)}{' again' if self.is_again else ''}"

    def path(self, index: int, device: int = 1) -> str:
        return fid_path(device, self.first_fid + index)


def fid_path(device: int, fid: int) -> str:
    """The path of a file as MogileFS names it."""
    digits = f"{fid:010d}"
    return f"/dev{device}/{digits[0]}/{digits[1:4]}/{digits[4:7]}/{digits}.fid"


GET_1K = Workload("get-1k", "GET", KIB, 1_000_000)
WORKLOADS = {
    work.name: work
    for work in (
        GET_1K,
        Workload("get-16k", "GET", 16 * KIB, 8_000_000),
        Workload("get-64k", "GET", 64 * KIB, 2_000_000),
        Workload("get-1m", "GET", MIB, 3_000_000),
        Workload("put-1k", "PUT", KIB, 4_000_000, files=1000),
        Workload("put-64k", "PUT", 64 * KIB, 5_000_000, files=1000),
        Workload("put-1m", "PUT", MIB, 6_000_000, files=100),
    )
}
# Each replaces a file: ext4 then writes the new one to the disk at once.
# Source: https://docs.kernel.org/admin-guide/ext4.html (auto_da_alloc)
PUT_AGAIN = Workload("put-again", "PUT", KIB, 9_900_000, files=1000, is_again=True)
# Not one of those above: 128 connections would read 12 GiB in a second of it.
GET_100M = Workload("get-100m", "GET", 100 * MIB, 7_000_000, files=1)


def write_files(docroot: Path, *works: Workload) -> None:
    """Write what the GET workloads ask for."""
    for work in works:
        first, last = work.devices
        for device in range(first, last + 1) if work.method == "GET" else ():
            for index in range(work.files):
                file = docroot / work.path(index, device)[1:]
                file.parent.mkdir(parents=True, exist_ok=True)
                fill(file, work.size)


def fill(file: Path, size: int) -> None:
    """Write a file of real blocks: a kernel answers for holes without reading anything."""
    block = b"m" * min(size, MIB)
    with file.open("wb") as opened:
        for _ in range(size // len(block)):
            opened.write(block)


def size_text(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"
