"""Addresses to listen on, and the sockets that do."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

BACKLOG = 1024

_ADDRESS = re.compile(r"(?:(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[^:\[\]]*)):)?(?P<port>[0-9]+)")


class Address(NamedTuple):
    """A numeric address and a port; `typed` is how the operator wrote it."""

    host: str
    port: int
    typed: str

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def text(self) -> str:
        """The address as `describe` tells it of a socket that is bound to it."""
        return _join(self.host, self.port)


class Listener(NamedTuple):
    """A listening socket, and for what: `http`, `httpget` or `mgmt`."""

    kind: str
    sock: socket.socket


def parse_address(typed: str) -> Address:
    """Return what `[[IPV4]:]PORT` or `[IPV6]:PORT` names.

    **Raises:** `ValueError` saying what is wrong with it.
    """
    match = _ADDRESS.fullmatch(typed)
    if match is None:
        raise ValueError(f"{typed!r} is not of the form [[IPV4]:]PORT or [IPV6]:PORT")
    if len(match["port"]) > 5 or int(match["port"]) > 65535:
        raise ValueError(f"{typed!r}: port {match['port'][:20]} is beyond 65535")
    try:
        if match["v6"] is not None:
            host = str(ipaddress.IPv6Address(match["v6"]))
        else:
            host = str(ipaddress.IPv4Address(match["v4"] or "0.0.0.0"))
    except ValueError as error:
        raise ValueError(f"{typed!r}: {error}") from None
    return Address(host, int(match["port"]), typed)


def open_listener(address: Address) -> socket.socket:
    """Bind and listen; accepted sockets inherit the options.

    **Raises:** `OSError` with the address as it was typed.
    """
    listener = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_options(listener)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {address.typed}: {error.strerror}") from None
    return listener


def set_options(listener: socket.socket) -> None:
    """Set what connections are to inherit from their listener."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def describe(listener: socket.socket) -> str:
    """Return the address that `listener` is bound to, its real port included."""
    host, port = listener.getsockname()[:2]
    return _join(host, port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
