"""A disk can be unmounted while clients read from it and write to it."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mogstored.files.recent_files import MAX_CONTENT
from tests.support.daemon import Node
from tests.support.disks import small_disk
from tests.support.http import Client, compose
from tests.support.puts import put
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")

# An operator tries once a second, for 3 s: it must take fewer than three tries on average.
MEAN_FAILURES = 2.0
ROUNDS = 10
GIVEN_UP = 20
CLIENTS = 8
FILES = 20


class Load:
    """Clients that send one request after the other, until the end of the test."""

    def __init__(self, node: Node, request: Callable[[int], bytes]) -> None:
        self._node = node
        self._request = request
        self._ended = threading.Event()
        self._answered = [0] * CLIENTS
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Return once each client was answered some more times."""
        due = [answered + 5 for answered in self._answered]
        wait_until(lambda: all(a >= b for a, b in zip(self._answered, due, strict=True)), "load")

    def _run(self, number: int) -> None:
        while not self._ended.is_set():
            with Client(self._node.http) as client:
                # An upload that fails while the disk is being unmounted ends the connection.
                keeps = True
                while keeps and not self._ended.is_set():
                    request = self._request(self._answered[number])
                    keeps = client.request(request, head=request.startswith(b"HEAD")).keeps
                    self._answered[number] += 1


def is_unmounted(path: Path) -> bool:
    """Try once."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), 0) == 0:
        return True
    assert ctypes.get_errno() == errno.EBUSY
    return False


def get(number: int) -> bytes:
    return compose("GET", f"/dev2/{number % FILES}")


def store(number: int) -> bytes:
    return put(f"/dev2/{number % FILES}", b"x" * 1000)


def look_or_get(number: int) -> bytes:
    return compose("HEAD", f"/dev2/{number % FILES}") if number % 2 else get(number)


@pytest.mark.parametrize(
    ("request_of", "size"),
    [(get, 1000), (get, MAX_CONTENT), (look_or_get, 1000), (store, 1000)],
    ids=["short", "middle", "head", "put"],
)
def test_disk_under_load(tmp_path: Path, request_of: Callable[[int], bytes], size: int) -> None:
    """Each round mounts the disk anew, and tries to unmount it until that succeeds."""
    with ExitStack() as stack:
        stack.enter_context(small_disk(tmp_path / "disk", "size=16m"))
        (tmp_path / "mounted").mkdir()
        node = Node(devices=("dev1",), mgmt=True)
        (node.docroot / "dev2").symlink_to(tmp_path / "mounted")
        bind = ["mount", "--bind", str(tmp_path / "disk"), str(tmp_path / "mounted")]
        stack.callback(unmount_lazily, tmp_path / "mounted")
        subprocess.run(bind, check=True)
        for number in range(FILES):
            (tmp_path / "disk" / str(number)).write_bytes(b"x" * size)
        stack.enter_context(node)
        load = stack.enter_context(Load(node, request_of))
        failures = []
        for _ in range(ROUNDS):
            load.go_on()
            failures.append(0)
            while not is_unmounted(tmp_path / "mounted"):
                failures[-1] += 1
                assert failures[-1] < GIVEN_UP, failures
                load.go_on()
            subprocess.run(bind, check=True)
    assert sum(failures) < MEAN_FAILURES * ROUNDS, failures


def unmount_lazily(path: Path) -> None:
    subprocess.run(["umount", "--lazy", str(path)], check=False)
