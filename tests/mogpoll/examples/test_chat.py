"""The example of a chat loses no line, however busy or slow a client is."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from tests.mogpoll.examples.conftest import connect, receive, receive_all
from tests.support.sockets import reset
from tests.support.threads import run_all

if TYPE_CHECKING:
    from tests.mogpoll.examples.conftest import Start

CLIENTS, LINES = 40, 25


def test_each_line_reaches_all_others(start: Start) -> None:
    chat = start("chat.py", "0")
    port = chat.port
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(port)) for _ in range(CLIENTS)]
        meet(clients)

        def talk(number: int) -> None:
            said = [f"{number} says {i}\n".encode() for i in range(LINES)]
            for line in said:
                clients[number].sendall(line)

        def listen(number: int) -> None:
            expected = {
                f"{other} says {i}".encode()
                for other in range(CLIENTS)
                if other != number
                for i in range(LINES)
            }
            heard = receive(clients[number], sum(len(line) + 1 for line in expected))
            lines = heard.split(b"\n")[:-1]
            assert len(lines) == len(expected)
            assert set(lines) == expected

        run_all([partial(act, n) for act in (talk, listen) for n in range(CLIENTS)])
    assert chat.end() == (0, b"", b"")


def test_clients_that_do_not_read_or_are_gone_delay_no_other(start: Start) -> None:
    chat = start("chat.py", "0")
    port = chat.port
    with (
        connect(port) as one,
        connect(port) as other,
        connect(port) as deaf,
        connect(port) as gone,
    ):
        meet([one, other, deaf, gone])
        reset(gone)
        line = b"x" * 4000 + b"\n"
        for _ in range(1000):
            one.sendall(line)
            assert receive(other, len(line)) == line
    assert chat.end() == (0, b"", b"")


def test_line_without_an_end_closes_its_sender(start: Start) -> None:
    chat = start("chat.py", "0")
    with connect(chat.port) as client:
        client.sendall(b"x" * 5000)
        assert receive_all(client) == b""
    assert chat.end() == (0, b"", b"")


def meet(clients: list[socket.socket]) -> None:
    """Wait until all are in the chat: they are accepted in turn, and hear the last one."""
    *others, last = clients
    last.sendall(b"hello\n")
    for client in others:
        assert receive(client, 6) == b"hello\n"
