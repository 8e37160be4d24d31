"""A thousand clients at once, each storing and reading a file of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client
from tests.support.puts import assert_created, put_head
from tests.support.sockets import room_for

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 1000


@pytest.fixture
def crowd() -> Iterator[tuple[Node, list[Client]]]:
    """A node and that many clients."""
    with room_for(COUNT), Node(maxconns=2 * COUNT) as node, ExitStack() as stack:
        yield node, [stack.enter_context(Client(node.http)) for _ in range(COUNT)]


@pytest.mark.slow
def test_uploads_and_downloads_interleaved(crowd: tuple[Node, list[Client]]) -> None:
    node, clients = crowd
    bodies = [b"%04d" % number * 50 for number in range(COUNT)]
    for number, client in enumerate(clients):
        length = f"Content-Length: {len(bodies[number])}"
        client.send(put_head(f"/dev1/{number % 10}/{number}", length) + bodies[number][:30])
    for number in reversed(range(COUNT)):
        clients[number].send(bodies[number][30:])
    for number, client in enumerate(clients):
        # The other half of the clients has its uploads unanswered yet.
        assert_created(client.read_response())
        client.send(f"GET /dev1/{number % 10}/{number} HTTP/1.1\r\n\r\n".encode())
    for number in reversed(range(COUNT)):
        assert clients[number].read_response().body == bodies[number]
    assert len([path for path in node.docroot.rglob("*") if path.is_file()]) == COUNT


@pytest.mark.slow
def test_parked_connections_hear_nothing_and_stay_usable(
    crowd: tuple[Node, list[Client]],
) -> None:
    _, clients = crowd
    for client in clients:
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    for client in clients:
        assert client.read_response().keeps
    clients[0].expect_silence(0.5)
    for client in clients:
        client.expect_silence(0.0001)
        assert_created(client.request(put_head("/dev1/last")))
