"""An upgrade in a FreeBSD jail, where bound addresses differ from the requested ones."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mogstored.config.values.addresses import parse_address
from mogstored.connections.listeners import describe
from mogstored.process.upgrades.inherited import Inherited


class JailedSocket(socket.socket):
    """A socket of a jail whose one address is 127.0.0.1, by the rules of `prison_local_ip4`.

    The jail has no other address than the wildcard's.
    """

    def bind(self, address: Any, /) -> None:
        host, port = address
        if host == "0.0.0.0":
            host = "127.0.0.1"
        elif host != "127.0.0.1":
            raise OSError(49, "Can't assign requested address")
        super().bind((host, port))


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> tuple[Inherited, socket.socket]:
    """Return the sockets of a node in a jail that listened on the wildcard."""
    monkeypatch.setattr("mogstored.process.upgrades.inherited.socket.socket", JailedSocket)
    listener = JailedSocket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", 0))
    listener.listen()
    left = Inherited(by_upgrade=True)
    left.add(listener.detach())
    (sock,) = left._sockets.values()
    return left, sock


def test_wildcard_finds_the_socket_of_the_jails_address(
    left: tuple[Inherited, socket.socket],
) -> None:
    sockets, sock = left
    port = sock.getsockname()[1]
    assert describe(sock) == f"127.0.0.1:{port}"
    taken = sockets.take(parse_address(f"0.0.0.0:{port}"))
    assert taken is sock
    sock.close()


def test_other_port_of_the_jails_address_is_not_taken(
    left: tuple[Inherited, socket.socket],
) -> None:
    sockets, sock = left
    port = sock.getsockname()[1]
    assert sockets.take(parse_address(f"0.0.0.0:{port ^ 1}")) is None
    sock.close()


def test_address_that_cannot_be_bound_is_not_taken(left: tuple[Inherited, socket.socket]) -> None:
    sockets, sock = left
    port = sock.getsockname()[1]
    assert sockets.take(parse_address(f"192.0.2.1:{port}")) is None
    sock.close()


def test_wildcard_takes_no_other_address_outside_of_a_jail() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    sockets = Inherited(by_upgrade=True)
    sockets.add(listener.detach())
    assert sockets.take(parse_address(f"0.0.0.0:{port}")) is None
    sockets.close_unwanted()
