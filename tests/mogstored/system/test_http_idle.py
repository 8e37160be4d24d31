"""Idle connections: trackers park them for days and expect silence."""

from __future__ import annotations

import selectors
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.sockets import thread_count
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

resource = pytest.importorskip("resource")

CLIENTS = 1000
QUIET_S = 0.2

TRACKER = compose("GET", "/", "Connection: Keep-Alive, keep-alive", version="1.0")


@pytest.fixture(scope="module")
def many_files() -> Iterator[None]:
    """Let this process, and the node that it starts, open as many files as the test needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CLIENTS + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the system allows {hard} open files, {wanted} are needed")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def node(many_files: None) -> Iterator[Node]:
    with Node(maxconns=2 * CLIENTS) as node:
        yield node


@contextmanager
def connected(node: Node, number: int) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Client(node.http)) for _ in range(number)]


def heard_from(clients: Sequence[Client]) -> list[Client]:
    """Return the clients that receive data or an end within QUIET_S."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        return [key.data for key, _ in selector.select(QUIET_S)]


def test_thousand_parked_connections_are_silent_and_usable(node: Node) -> None:
    with connected(node, CLIENTS) as clients:
        for client in clients:
            assert client.request(TRACKER).keeps
        threads = thread_count(node.pid)
        assert heard_from(clients) == []
        for client in reversed(clients):
            assert client.request(TRACKER).status == 200
        assert heard_from(clients) == []
        assert thread_count(node.pid) <= threads


def test_connections_that_never_spoke_are_silent_and_usable(node: Node) -> None:
    with connected(node, 100) as clients:
        assert heard_from(clients) == []
        for client in clients:
            assert client.request(TRACKER).status == 200


def test_parked_connections_do_not_keep_the_node_busy(node: Node) -> None:
    with connected(node, 200) as clients:
        for client in clients:
            assert client.request(TRACKER).keeps

        def is_quiet() -> bool:
            before = sum(node.process.cpu_times()[:2])
            assert heard_from(clients) == []
            return bool(sum(node.process.cpu_times()[:2]) - before < QUIET_S / 2)

        wait_until(is_quiet, "the node uses hardly any processor time")


def test_threads_do_not_grow_with_connections(node: Node) -> None:
    with connected(node, 1) as clients:
        assert clients[0].request(TRACKER).keeps
        few = thread_count(node.pid)
    with connected(node, 300) as clients:
        for client in clients:
            assert client.request(TRACKER).keeps
        assert thread_count(node.pid) - few < 100


def test_stop_sends_all_parked_connections_away(node: Node) -> None:
    with connected(node, CLIENTS) as clients:
        for client in clients:
            assert client.request(TRACKER).keeps
        node.send_signal(signal.SIGTERM)
        for client in clients:
            client.read_eof()
        assert node.wait() == 0


def test_clients_that_leave_while_the_node_sends_them_away(node: Node) -> None:
    with connected(node, CLIENTS) as clients:
        for client in clients:
            assert client.request(TRACKER).keeps
    assert node.stop() == 0
