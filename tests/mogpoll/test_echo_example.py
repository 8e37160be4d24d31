"""The example of the README is a server that serves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.sockets import reset
from tests.support.threads import Running, run_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mogpoll.backends import Backend

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "echo.py"


class Echo:
    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(EXAMPLE), "0"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
        )
        assert self._process.stdout is not None
        line = Running(self._process.stdout.readline).result()
        assert line.startswith(b"echo on port ")
        self._address = ("127.0.0.1", int(line.split()[-1]))

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, 20)

    def end(self) -> tuple[int, bytes]:
        _, stderr = self._process.communicate(timeout=20)
        return self._process.returncode, stderr

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def echo(backend: Backend) -> Iterator[Echo]:
    here = str(Path(__file__).resolve().parents[2])
    path = [entry for entry in sys.path if entry and entry != here]
    started = Echo({**backend.environment(), "PYTHONPATH": os.pathsep.join([*path, here])})
    yield started
    started.kill()


def receive(client: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (piece := client.recv(count - len(found))):
        found += piece
    return found


def test_many_clients_get_back_what_they_sent(echo: Echo) -> None:
    def talk() -> None:
        with echo.connect() as client:
            for size in (1, 10, 1000, 100_000, 1):
                message = os.urandom(size)
                sending = Running(partial(client.sendall, message))
                assert receive(client, size) == message
                sending.result()
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""

    run_all([talk] * 20)
    assert echo.end() == (0, b"")


def test_idle_half_closed_and_reset_clients_harm_nobody(echo: Echo) -> None:
    idle = [echo.connect() for _ in range(30)]
    for _ in range(10):
        client = echo.connect()
        client.sendall(b"x" * 10_000)
        reset(client)
    with echo.connect() as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
    for client in idle:
        client.sendall(b"still here")
        assert receive(client, 10) == b"still here"
    status, stderr = echo.end()
    for client in idle:
        client.close()
    assert (status, stderr) == (0, b"")
