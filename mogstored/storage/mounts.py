"""Where devices come from: which mount a directory lies on, and which disk is below it.

Mounts are listed, never touched: `statfs` on a dead network mount blocks for ever, and the
node has no business with mounts that none of its devices lies on. So nothing is dropped
from the list for its type either; what is not below a device does not matter.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

_ON_LINUX = sys.platform == "linux"


class Mount(NamedTuple):
    """One line of the system's list of mounts."""

    point: str
    source: str
    """A file below /dev, or whatever the file system calls itself; not always of a use."""
    st_dev: int | None = None
    """As the list has it, where it does."""


class Origin(NamedTuple):
    """What is below a device."""

    source: str = ""
    """The mount's source, links resolved where it has any; empty when unknown."""
    disks: tuple[str, ...] = ()
    """Names under which a utilization report may list it, the best first."""


class Mounts(Protocol):
    """The list of mounts, in the way of one system.

    **Threads:** any; a list is replaced as a whole.
    """

    def reread(self) -> None:
        """Read the list again; cheap when nothing has changed."""

    @property
    def generation(self) -> int:
        """A number that changes when the list does."""

    def locate(self, path: str, st_dev: int) -> Origin:
        """Return the origin of the directory `path`, whose links are resolved."""


class MountTable:
    """A list of mounts, ready for questions."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        """Take the mounts in the system's order: what is mounted later hides the earlier."""
        self._by_point: dict[str, Mount] = {}
        self._by_device: dict[int, list[Mount]] = {}
        for mount in mounts:
            self._by_point[mount.point] = mount
            if mount.st_dev is not None:
                self._by_device.setdefault(mount.st_dev, []).append(mount)

    def above(self, path: str) -> Mount | None:
        """Return the mount with the longest mount point that leads to `path`."""
        for point in _upwards(path):
            if point in self._by_point:
                return self._by_point[point]
        return None

    def of_device(self, st_dev: int, path: str) -> Mount | None:
        """Return the mount of `st_dev` that tells most about `path`.

        One file system may be mounted in many places, and under several names: a name
        that is a path says more than `rootfs`, and the place above `path` more than others.
        """
        points = set(_upwards(path))
        best: Mount | None = None
        best_rank = (False, -1)
        for mount in self._by_device.get(st_dev, ()):
            nearness = len(mount.point) if mount.point in points else 0
            rank = (mount.source.startswith("/"), nearness)
            if rank >= best_rank:
                best, best_rank = mount, rank
        return best


def open_mounts() -> Mounts:
    """Return the mounts of this system, read once."""
    if _ON_LINUX:
        from mogstored.storage.mounts_linux import LinuxMounts

        return LinuxMounts()
    from mogstored.storage.mounts_bsd import BSDMounts

    return BSDMounts()


def last_names(source: str) -> tuple[str, ...]:
    """Return what reports may call the disk `source`: all below /dev, or its last part."""
    if not source.startswith("/dev/"):
        return ()
    below = source.removeprefix("/dev/")
    return tuple(dict.fromkeys((below, os.path.basename(below))))


def _upwards(path: str) -> Iterator[str]:
    """Yield `path` and all directories above it."""
    yield path
    while path not in ("/", ""):
        path = os.path.dirname(path)
        yield path
