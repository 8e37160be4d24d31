"""The example of an echo server serves clients."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from tests.mogpoll.examples.conftest import connect, receive
from tests.support.sockets import reset
from tests.support.threads import Running, run_all

if TYPE_CHECKING:
    from tests.mogpoll.examples.conftest import Start


def test_many_clients_get_back_what_they_sent(start: Start) -> None:
    echo = start("echo.py", "0")
    port = echo.port

    def talk() -> None:
        with connect(port) as client:
            for size in (1, 10, 1000, 100_000, 1):
                message = os.urandom(size)
                sending = Running(partial(client.sendall, message))
                assert receive(client, size) == message
                sending.result()
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""

    run_all([talk] * 20)
    assert echo.end() == (0, b"", b"")


def test_idle_half_closed_and_reset_clients_harm_no_other(start: Start) -> None:
    echo = start("echo.py", "0")
    port = echo.port
    idle = [connect(port) for _ in range(30)]
    for _ in range(10):
        client = connect(port)
        client.sendall(b"x" * 10_000)
        reset(client)
    with connect(port) as client:
        client.sendall(b"hello")
        assert receive(client, 5) == b"hello"
    for client in idle:
        client.sendall(b"still here")
        assert receive(client, 10) == b"still here"
    assert echo.end() == (0, b"", b"")
    for client in idle:
        client.close()
