"""A disk that hangs, is slow or fails on command, and a node that has one."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bench.bad_disk.control import CannotMount, SlowDisk, mounted
from tests.support.daemon import Node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def slow_disk(path: Path) -> Iterator[SlowDisk]:
    """Mount a new one on the new directory `path`; skip where that is refused."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted(path))
        except CannotMount as reason:
            pytest.skip(str(reason))
        yield disk


@contextmanager
def node_with_slow_disk(
    path: Path, *, hangs: bool = False, **options: Any
) -> Iterator[tuple[Node, SlowDisk]]:
    """Run a node whose dev2 is a slow disk and whose dev1 is not; `options` are the node's.

    The disk is healthy until the test changes that, unless it `hangs` from the start.
    """
    with slow_disk(path) as disk:
        node = Node(devices=("dev1",), **options)
        (node.docroot / "dev2").symlink_to(path)
        if hangs:
            disk.hang()
        with _released_in_the_end(disk), node, _released_in_the_end(disk):
            yield node, disk


@contextmanager
def _released_in_the_end(disk: SlowDisk) -> Iterator[None]:
    """A node that waits for the disk can be neither stopped nor killed."""
    try:
        yield
    finally:
        disk.release()
