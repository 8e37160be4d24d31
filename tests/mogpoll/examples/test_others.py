"""The examples of UDP, of child processes and of signals."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.examples.conftest import EXAMPLES, connect, receive_all
from tests.support.sockets import refuses
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mogpoll.examples.conftest import Start


def test_datagrams_come_back(start: Start) -> None:
    echo = start("udp.py", "0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", echo.port))
        for size in (0, 1, 60_000):
            client.send(b"x" * size)
            assert client.recv(65536) == b"x" * size
        for number in range(50):
            client.send(b"%d" % number)
        assert [client.recv(65536) for _ in range(50)] == [b"%d" % number for number in range(50)]
    assert echo.end() == (0, b"", b"")


def test_children_are_heard_and_silent_ones_killed(start: Start) -> None:
    hung, brief = "echo here; exec sleep 1000", "echo one; echo two; exit 3"
    # Long enough for a start on a busy machine, short enough for a test.
    children = start("child.py", "5", hung, brief)
    status, stdout, stderr = children.end()
    assert (status, stderr) == (0, b"")
    said = stdout.decode().splitlines()
    assert [line for line in said if line.startswith(f"{brief}: ")] == [
        f"{brief}: one",
        f"{brief}: two",
        f"{brief}: status 3",
    ]
    assert [line for line in said if line.startswith(f"{hung}: ")] == [
        f"{hung}: here",
        f"{hung}: silent for 5 s, killed",
        f"{hung}: status -9",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server(start: Start, number: signal.Signals) -> None:
    clock = start("signals.py", "0")
    port = clock.port
    with connect(port) as client, connect(port) as idle:
        client.sendall(b"?\n")
        assert client.recv(100).endswith(b"\n")
        clock.process.send_signal(number)
        assert receive_all(client) == receive_all(idle) == b""
    status, stdout, stderr = clock.end()
    assert (status, stderr) == (0, b"")
    assert stdout.decode() == f"stopping: {signal.strsignal(number)}\n"
    assert refuses(("127.0.0.1", port))


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 80
