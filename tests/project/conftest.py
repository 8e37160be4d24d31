"""Fixtures of the project tests."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from bench.environment import QUICK, Environment
from bench.load.wrk import Wrk
from bench.servers.peers import Peers
from bench.servers.tools import Node as BenchNode
from bench.servers.workloads import GET_1K, write_files
from tests.support.daemon import Node
from tests.support.http import ask, compose
from tests.support.puts import put
from tests.support.sidechannel import manage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment for measurements without other servers and without wrk."""
    content, workdir = tmp_path / "content", tmp_path / "work"
    write_files(content, GET_1K)
    workdir.mkdir()
    return Environment(workdir, Peers(workdir, content, BenchNode()), Wrk("no wrk"), 2, 0.3, QUICK)


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """The docroots hold some 300 MiB: in memory, if there is a file system for that."""
    shm = Path("/dev/shm")
    with TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else tmp_path) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def busy() -> Iterator[Node]:
    """A node that has done something of each kind, so that it has series of each metric."""
    with Node(mgmt=True, admin=True, extra=["--scrub=30d"]) as node:
        assert ask(node.http, put("/dev1/file", b"content")).status == 201
        for method in ("GET", "HEAD", "DELETE"):
            assert ask(node.http, compose(method, "/dev1/file")).status < 300
        loop = node.docroot / "dev1" / "loop"
        loop.symlink_to(loop)
        assert ask(node.http, compose("GET", "/dev1/loop")).status >= 400
        with manage(node) as tracker:
            assert tracker.ask(b"MD5 /dev1/usage").startswith(b"/dev1/usage MD5=")
        for device in ("dev1", "dev2"):
            node.wait_for_log(f"{device} was read to its end")
        yield node
