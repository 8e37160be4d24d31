"""Listening sockets, and the options that accepted sockets inherit."""

from __future__ import annotations

import socket
from typing import NamedTuple

from mogstored.config.values.addresses import Address, join_address
from mogstored.log.printable import reason

BACKLOG = 1024
WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Listener(NamedTuple):
    """A listening socket and its service: `http`, `httpget` or `mgmt`."""

    kind: str
    sock: socket.socket


def open_listener(address: Address) -> socket.socket:
    """Bind and listen; accepted sockets inherit the options.

    **Raises:** `OSError` whose `strerror` is a sentence with the address as it was typed.
    """
    listener = None
    try:
        listener = bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise OSError(error.errno, f"cannot listen on {address.typed}: {reason(error)}") from None
    return listener


def bind(address: Address) -> socket.socket:
    """Return a socket that is bound to the address and does not listen yet.

    **Raises:** `OSError`, also if another socket listens there.
    """
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_options(sock)
        sock.bind(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def set_options(listener: socket.socket) -> None:
    """Set the options that accepted sockets inherit."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def describe(listener: socket.socket) -> str:
    """Return the address that `listener` is bound to, with the actual port."""
    return join_address(bound_host(listener), listener.getsockname()[1])


def bound_host(sock: socket.socket) -> str:
    """Return the host that `sock` is bound to, as `Address.host` has it."""
    host, _, *rest = sock.getsockname()
    scope_id = rest[1] if rest else 0
    if not scope_id:
        return str(host)
    try:
        return f"{host}%{socket.if_indextoname(scope_id)}"
    except OSError:
        # The interface was removed.
        return f"{host}%{scope_id}"
