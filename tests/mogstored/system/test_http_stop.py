"""The graceful stop: no new clients, and no request cut off."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import wait_until_begun
from tests.support.sockets import refuses
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 100 * 1024 * 1024
STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]


@pytest.fixture
def node() -> Iterator[Node]:
    """A node for each test, since each ends it."""
    with Node(httpget=True) as node:
        yield node


@pytest.mark.parametrize("sig", STOPS, ids=lambda sig: sig.name)
def test_node_without_clients_ends(node: Node, sig: signal.Signals) -> None:
    assert node.stop(sig) == 0
    assert refuses(node.http)
    assert node.httpget is not None
    assert refuses(node.httpget)


@pytest.mark.parametrize("sig", STOPS, ids=lambda sig: sig.name)
def test_idle_connections_are_closed(node: Node, sig: signal.Signals) -> None:
    with Client(node.http) as used, Client(node.http) as unused:
        assert used.request(compose("GET", "/")).status == 200
        # Connections are accepted in turn, so the node has these when a later one is answered.
        with Client(node.http) as later:
            assert later.request(compose("GET", "/")).status == 200
        node.send_signal(sig)
        used.read_eof()
        unused.read_eof()
        assert node.wait() == 0


@pytest.mark.parametrize("sig", STOPS, ids=lambda sig: sig.name)
def test_slow_reader_gets_all_of_its_file(node: Node, sig: signal.Signals) -> None:
    with node.write("/dev1/large", b"").open("r+b") as file:
        file.truncate(SIZE)
    with Client(node.http) as client:
        client.send(compose("GET", "/dev1/large"))
        client.read_head()
        node.begin_stop(sig)
        assert node.is_running()
        assert len(client.read_exactly(SIZE)) == SIZE
        client.read_eof()
        assert node.wait() == 0


@pytest.mark.parametrize("beginning", [b"G", b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\n\r"])
def test_request_that_has_begun_is_awaited(node: Node, beginning: bytes) -> None:
    whole = compose("GET", "/", "Host: a")
    with Client(node.http) as client:
        client.send(beginning)
        # Connections are accepted in turn, so the node has the first one when this is answered.
        with Client(node.http) as later:
            assert later.request(compose("GET", "/")).status == 200
        node.begin_stop()
        assert node.is_running()
        assert client.request(whole[len(beginning) :]).status == 200
        client.read_eof()
        assert node.wait() == 0


def test_requests_pipelined_behind_are_answered(node: Node) -> None:
    node.write("/dev1/file", b"found")
    with Client(node.http) as client:
        client.send(compose("GET", "/") + b"GET /dev1/fi")
        assert client.read_response().status == 200
        node.begin_stop()
        client.send(b"le HTTP/1.1\r\n\r\n" + compose("GET", "/dev1/none") + compose("GET", "/"))
        assert client.read_response().body == b"found"
        assert client.read_response().status == 404
        assert client.read_response().status == 200
        client.read_eof()
        assert node.wait() == 0


def test_upload_in_progress_is_stored(node: Node) -> None:
    with Client(node.http) as client:
        client.send(compose("PUT", "/dev1/new", "Content-Length: 10") + b"01234")
        wait_until_begun(node, "/dev1/new")
        node.begin_stop()
        assert client.request(b"56789").status == 201
        client.read_eof()
        assert node.path("/dev1/new").read_bytes() == b"0123456789"
        assert node.wait() == 0


def test_client_that_leaves_lets_the_stop_end(node: Node) -> None:
    with Client(node.http) as client:
        client.send(b"GET /")
        with Client(node.http) as later:
            assert later.request(compose("GET", "/")).status == 200
        node.begin_stop()
        assert node.is_running()
    assert node.wait() == 0


def test_second_signal_changes_nothing(node: Node) -> None:
    with Client(node.http) as client:
        client.send(b"GET /")
        with Client(node.http) as later:
            assert later.request(compose("GET", "/")).status == 200
        for sig in (*STOPS, signal.SIGTERM):
            node.begin_stop(sig)
        assert client.request(b" HTTP/1.1\r\n\r\n").status == 200
        client.read_eof()
        assert node.wait() == 0


def test_other_signals_do_not_end_the_node(node: Node) -> None:
    with Client(node.http) as client:
        for sig in (signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH, signal.SIGPIPE):
            node.send_signal(sig)
            assert client.request(compose("GET", "/")).status == 200
    assert node.is_running()


def test_port_can_be_taken_again_at_once() -> None:
    """Connections that the node closed itself still linger in the system."""
    with Node() as first:
        addr = first.http
        with Client(addr) as client:
            assert client.request(compose("GET", "/", version="1.0")).status == 200
            client.read_eof()
            assert first.stop() == 0
    with (
        Node(http=False, extra=["--httplisten", f"{addr[0]}:{addr[1]}"]) as second,
        Client(second.http) as client,
    ):
        assert second.http == addr
        assert client.request(compose("GET", "/")).status == 200


def test_slow_reader_has_its_next_request(node: Node) -> None:
    """Its answer said keep-alive before the stop; it still reads what the node sent long ago."""
    path = node.write("/dev1/large", os.urandom(400_000))
    with socket.socket() as sock, Client(node.http) as idle:
        # So that most of the file waits in the node's socket.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.settimeout(PATIENCE_S)
        sock.connect(node.http)
        sock.sendall(compose("GET", "/dev1/large"))
        received = bytearray()

        def has_sent_all() -> bool:
            if not any(it.path == str(path) for it in node.process.open_files()) and received:
                return True
            received.extend(sock.recv(4096))
            return False

        wait_until(has_sent_all, "the node has closed the file")
        assert len(received) < 400_000
        # Idle for less time than the slow reader, as the node sees it.
        assert idle.request(compose("GET", "/")).status == 200
        node.begin_stop()
        idle.read_eof()
        while not received.endswith(path.read_bytes()[-1000:]):
            received += (data := sock.recv(65536))
            assert data, "closed before its end"
        assert b"Connection: keep-alive" in received[:1000]
        sock.sendall(compose("GET", "/dev1/large"))
        again = bytearray()
        while data := sock.recv(65536):
            again += data
        assert again.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in again[:1000]
        assert node.wait() == 0
