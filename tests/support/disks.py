"""Small file systems, mounted where that is allowed, and the names of disks."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mogstored.devices.device import Devices
from mogstored.devices.inventory import DeviceInventory
from mogstored.files.docroot import Docroot
from tests.support.daemon import Node
from tests.support.images import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory on the new directory `path`; skip where that is refused."""
    path.mkdir()
    with mounted(path, "-t", "tmpfs", "-o", options, "tmpfs"):
        yield


@contextmanager
def node_with_small_disk(
    path: Path,
    options: str,
    *,
    mgmt: bool = False,
    env: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
) -> Iterator[Node]:
    """Run a node whose dev2 is a file system of its own and whose dev1 is not."""
    with small_disk(path, options):
        node = Node(devices=("dev1",), mgmt=mgmt, env=env, extra=extra)
        (node.docroot / "dev2").symlink_to(path)
        with node:
            yield node


def free_bytes(path: Path) -> int:
    """Return how many bytes can still be stored on the file system of `path`."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


@cache
def disks() -> tuple[str, ...]:
    """Return the names of the disk on which nodes get their docroots; none if unknown."""
    with tempfile.TemporaryDirectory() as path:
        Path(path, "dev1").mkdir()
        docroot = Docroot(path)
        try:
            inventory = DeviceInventory(docroot, Devices(docroot, lambda _task: None))
            inventory.rescan()
            return inventory.disk_names(1)
        finally:
            docroot.close()
