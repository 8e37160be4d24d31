"""Listening sockets: their options, and addresses that cannot be had."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

import pytest

from mogstored.config.values.addresses import Address, parse_address
from mogstored.connections import listeners
from mogstored.connections.listeners import describe, open_listener


def address_of(listener: socket.socket) -> Address:
    return parse_address(describe(listener))


@pytest.mark.parametrize("typed", ["127.0.0.1:0", "[::1]:0"])
def test_accepted_sockets_have_the_options(typed: str) -> None:
    with closing(open_listener(parse_address(typed))) as listener:
        assert describe(listener).startswith(typed.removesuffix("0"))
        # A node that starts again does not wait for the connections of the last one.
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        if listener.family == socket.AF_INET6:
            assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with socket.create_connection(listener.getsockname()[:2], 10):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_address_that_is_taken_is_named_and_its_socket_closed() -> None:
    with closing(open_listener(parse_address("127.0.0.1:0"))) as listener:
        address = address_of(listener)
        with pytest.raises(OSError, match=r"^\[Errno \d+\] cannot listen on 127") as refused:
            open_listener(address)
    assert refused.value.errno == errno.EADDRINUSE
    assert f"cannot listen on {address.typed}: " in str(refused.value.strerror)


def test_address_that_is_taken_after_the_bind_is_named_and_its_socket_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two sockets may be bound to one address until one of them listens."""
    bound: list[socket.socket] = []
    bind = listeners.bind

    def bind_beside(address: Address) -> socket.socket:
        sock = bind(address)
        other = socket.socket()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(sock.getsockname())
        other.listen()
        bound.append(other)
        return sock

    monkeypatch.setattr(listeners, "bind", bind_beside)
    with pytest.raises(OSError, match="cannot listen on") as refused:
        open_listener(parse_address("127.0.0.1:0"))
    assert refused.value.errno == errno.EADDRINUSE
    bound[0].close()
