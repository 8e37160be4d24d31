"""Fixtures of several system tests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.sidechannel import Manager, manage
from tests.support.slow_disk import node_with_slow_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.bad_disk.control import SlowDisk
    from tests.support.daemon import Node


@pytest.fixture
def client(node: Node) -> Iterator[Manager]:
    """A client of the sidechannel."""
    with manage(node) as client:
        yield client


@pytest.fixture
def docroot(tmp_path: Path) -> Path:
    """A docroot with dev1, for a node that the test starts."""
    (tmp_path / "docroot" / "dev1").mkdir(parents=True)
    return tmp_path / "docroot"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Node, SlowDisk]]:
    """A node whose dev2 is a slow disk."""
    with node_with_slow_disk(tmp_path / "disk", mgmt=True) as (node, disk):
        yield node, disk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, SlowDisk]]:
    """As `rig`, for all tests of a file; each releases the disk itself."""
    path = tmp_path_factory.mktemp("shared") / "disk"
    with node_with_slow_disk(path, mgmt=True) as (node, disk):
        yield node, disk


@pytest.fixture
def taken() -> Iterator[str]:
    """An address in use, as HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
