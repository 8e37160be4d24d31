"""Start an example as its reader would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.project._tree import ROOT
from tests.support.threads import Running
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from tests.mogpoll.backends import Backend

EXAMPLES = ROOT / "examples"


class Example:
    """A running example; one that serves prints its port first."""

    def __init__(self, environment: dict[str, str], name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(EXAMPLES / name), *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
        )

    @property
    def port(self) -> int:
        """Wait for the first line, and take the port from it."""
        assert self.process.stdout is not None
        line = Running(self.process.stdout.readline).result()
        assert b" on port " in line
        return int(line.split()[-1])

    def end(self) -> tuple[int, bytes, bytes]:
        """Close its stdin; return its status, and the rest of stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, stdout, stderr

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


Start = Callable[..., Example]


@pytest.fixture
def start(backend: Backend) -> Iterator[Start]:
    """`start(name, *arguments)` starts an example; it is killed at the end."""
    path = [entry for entry in sys.path if entry and entry != str(ROOT)]
    environment = {
        **backend.environment(),
        "PYTHONPATH": os.pathsep.join([*path, str(ROOT)]),
    }
    started = []

    def start(name: str, *arguments: str) -> Example:
        started.append(Example(environment, name, *arguments))
        return started[-1]

    yield start
    for example in started:
        example.kill()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE_S)


def receive(client: socket.socket, count: int) -> bytes:
    """Return `count` bytes, or what came before the end."""
    found = bytearray()
    while len(found) < count and (piece := client.recv(count - len(found))):
        found += piece
    return bytes(found)


def receive_all(client: socket.socket) -> bytes:
    """Return what comes until the end."""
    return b"".join(iter(lambda: client.recv(65536), b""))
