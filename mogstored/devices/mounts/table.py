"""Where devices come from: which mount a directory lies on, and which disk is below it.

Mounts are listed, never touched: `statfs` on a dead network mount blocks for ever (n47), and
mounts without a device are none of the node's business. So no type is dropped from the list
either; a mount that is below no device does not matter.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol


class Mount(NamedTuple):
    """A line of the system's list of mounts."""

    point: str
    source: str
    """A file below /dev, or the name that the file system gives itself; may say nothing."""
    st_dev: int | None = None
    """As the list has it, where it does."""


class Origin(NamedTuple):
    """The mount and the disk that a device lies on."""

    source: str = ""
    """The mount's source, links resolved where it has any; empty when unknown."""
    disks: tuple[str, ...] = ()
    """Names under which a utilization report may list it, the best first."""


class Mounts(Protocol):
    """The list of mounts of one system.

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
    """A list of mounts, indexed."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        """Take the mounts in the system's order: a later one hides an earlier one."""
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
        """Return the mount of `st_dev` that says most about `path`.

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


def last_names(source: str) -> tuple[str, ...]:
    """Return the names of the disk `source` in reports: all below /dev, and its last part."""
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
