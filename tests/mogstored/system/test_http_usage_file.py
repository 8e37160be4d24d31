"""The usage file of a device, for a node without a sidechannel: a file like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Node
from tests.support.http import Client, ask, compose

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = b"""\
available: 82721264
device: /dev/vda
disk: /var/mogdata/dev1
time: 1795466436
total: 106390912
use: 23%
used: 23669648
"""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(httpget=True) as node:
        yield node


def test_none_is_made_up(node: Node) -> None:
    for method in ("GET", "HEAD"):
        assert ask(node.http, compose(method, "/dev2/usage")).status == 404
    assert list(node.path("/dev2").iterdir()) == []


@pytest.mark.parametrize("listener", ["http", "httpget"])
def test_existing_one_is_served(node: Node, listener: str) -> None:
    node.write("/dev1/usage", RECORD)
    addr = getattr(node, listener)
    answer = ask(addr, compose("GET", "/dev1/usage"))
    assert (answer.status, answer.body) == (200, RECORD)
    assert ask(addr, compose("HEAD", "/dev1/usage")).header("Content-Length") == str(len(RECORD))
    assert ask(addr, compose("GET", "/dev1/usage", "Range: bytes=0-9")).body == b"available:"


def test_first_request_of_a_tracker_keeps_the_connection(node: Node) -> None:
    node.write("/dev1/usage", RECORD)
    assert node.httpget is not None
    with Client(node.httpget) as client:
        first = compose(
            "GET",
            "/dev1/usage",
            "Keep-Alive: 300",
            "Connection: Keep-Alive, keep-alive",
            "Host: 127.0.0.1:7500",
            "User-Agent: MogileFS::Connection::HTTP/2.73",
            version="1.0",
        )
        assert client.request(first).body == RECORD
        client.expect_silence(0.05)
        later = compose("GET", "/dev1/usage", "Connection: keep-alive", version="1.0")
        assert client.request(later).body == RECORD


def test_it_can_be_replaced_and_removed(node: Node) -> None:
    with Client(node.http) as client:
        put = compose("PUT", "/dev1/usage", "Content-Length: 5") + b"a: b\n"
        assert client.request(put).status == 201
        assert client.request(compose("GET", "/dev1/usage")).body == b"a: b\n"
        assert client.request(compose("DELETE", "/dev1/usage")).status == 204
        assert client.request(compose("GET", "/dev1/usage")).status == 404
