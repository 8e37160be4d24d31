"""Memory runs out, at the start or later: one line says so, and nothing leaks."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.backend import OVER_LIBKQUEUE
from tests.support.daemon import Node
from tests.support.http import Client, ask, compose
from tests.support.sockets import descriptor_count, thread_count
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the limit of the address space of another process"
)

_MIB = 1 << 20
_LIMITED = ["sh", "-c", 'ulimit -v $1 && shift && exec "$@"', "sh"]


def run(limit: int, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_LIMITED, str(limit >> 10), sys.executable, "-P", *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def least() -> int:
    """The least memory with which there is a program at all that could say anything."""
    limit = 8 * _MIB
    while run(limit, "-c", "import mogstored.cli, runpy").returncode:
        limit += 2 * _MIB
    return limit


@pytest.mark.skipif(
    OVER_LIBKQUEUE, reason="libkqueue hangs in kqueue() when its own thread is refused"
)
@pytest.mark.parametrize("more_mib", [2, 4, 8, 12, 16, 32, 64])
def test_start_with_too_little_memory_ends_with_one_line(
    tmp_path: Path, least: int, more_mib: int
) -> None:
    (tmp_path / "dev1").mkdir()
    options = ["--docroot", str(tmp_path), "--httplisten", "127.0.0.1:0", "--aio-threads=100"]
    ended = run(least + more_mib * _MIB, "-m", "mogstored", *options)
    # Besides those of every start.
    usual = re.compile(r"listening for|, one process: ")
    lines = [line for line in ended.stderr.splitlines() if not usual.search(line)]
    assert ended.returncode == 1
    assert len(lines) == 1, ended.stderr
    assert "too little memory" in lines[0] or "cannot serve: no thread for " in lines[0]
    assert "; raise the limit" in lines[0]


def test_shortage_that_passes_leaves_nothing_behind() -> None:
    # With one arena the C library maps what the program allocates, and no more.
    with Node(extra=["--aio-threads=8"], env={"MALLOC_ARENA_MAX": "1"}) as node:
        node.write("/dev1/a.fid", b"abc")
        counts = thread_count(node.pid), descriptor_count(node.pid)
        used = psutil.Process(node.pid).memory_info().vms
        resource.prlimit(node.pid, resource.RLIMIT_AS, (used + _MIB, resource.RLIM_INFINITY))
        with ExitStack() as stack:
            # Heads that do not end, until there is no memory for one.
            for _ in range(400):
                client = stack.enter_context(Client(node.http))
                with suppress(OSError):
                    client.send(b"GET /dev1/a.fid HTTP/1.1\r\nX: " + b"y" * 30000)
            node.wait_for_log("too little memory")
        resource.prlimit(node.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        wait_until(
            lambda: (thread_count(node.pid), descriptor_count(node.pid)) == counts,
            "threads and descriptors are as before",
        )
        assert ask(node.http, compose("GET", "/dev1/a.fid")).body == b"abc"
        assert node.stop() == 0
