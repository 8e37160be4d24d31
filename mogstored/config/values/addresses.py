"""Addresses to listen on: text to numbers, without a socket."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple

_ADDRESS = re.compile(r"(?:(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[^:\[\]]*)):)?(?P<port>[0-9]+)")
_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%.*)?")
_BETWEEN = re.compile(r"\s*,\s*|\s+")
_LETTER = re.compile(r"[^\W\d_]")


class Address(NamedTuple):
    """A numeric address and a port; `typed` is how the operator wrote it.

    A link-local `host` ends in `%` and the name of its interface.
    """

    host: str
    port: int
    typed: str

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def sockaddr(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as `bind` takes it.

        **Raises:** `OSError` when its interface has gone.
        """
        if self.family == socket.AF_INET:
            return self.host, self.port
        host, _, interface = self.host.partition("%")
        return host, self.port, 0, socket.if_nametoindex(interface) if interface else 0

    @property
    def text(self) -> str:
        """The address as `describe` returns it for a socket that is bound to it."""
        return join_address(self.host, self.port)


def parse_address(typed: str) -> Address:
    """Return what `[[IPV4]:]PORT` or `[IPV6]:PORT` names.

    **Raises:** `ValueError` saying what is wrong with it.
    """
    match = _ADDRESS.fullmatch(typed)
    if match is None:
        hint = "; an IPv6 address needs brackets" if _BARE_IPV6.fullmatch(typed) else ""
        raise ValueError(f"'{typed}' is not of the form [[IPV4]:]PORT or [IPV6]:PORT{hint}")
    if len(match["port"]) > 5 or int(match["port"]) > 65535:
        raise ValueError(f"'{typed}': port {match['port'][:20]} is beyond 65535")
    try:
        host = (
            _parse_ipv4(match["v4"] or "0.0.0.0")
            if match["v6"] is None
            else _parse_ipv6(match["v6"])
        )
    except ValueError as error:
        raise ValueError(f"'{typed}': {error}") from None
    return Address(host, int(match["port"]), typed)


def parse_addresses(typed: str) -> tuple[Address, ...]:
    """Return what one address names, or several with commas or blanks between them.

    **Raises:** `ValueError` saying what is wrong with the first wrong one.
    """
    return tuple(map(parse_address, _BETWEEN.split(typed.strip())))


def _parse_ipv4(host: str) -> str:
    if _LETTER.search(host):
        raise ValueError("names are not allowed; give an IP address")
    return str(ipaddress.IPv4Address(host))


def _parse_ipv6(host: str) -> str:
    """Return the address; one that is link-local means nothing without its interface."""
    if ":" not in host and _LETTER.search(host):
        raise ValueError("names are not allowed; give an IP address")
    address = ipaddress.IPv6Address(host)
    zone = address.scope_id
    if not address.is_link_local:
        if zone is not None:
            raise ValueError(f"only a link-local address has an interface, leave %{zone} out")
        return str(address)
    if zone is None:
        raise ValueError(f"a link-local address needs its interface, as in [{host}%eth0]")
    return f"{str(address).partition('%')[0]}%{_interface(zone)}"


def _interface(zone: str) -> str:
    """Return the name of the interface that a zone names or numbers."""
    try:
        socket.if_nametoindex(zone)
    except OSError:
        try:
            return socket.if_indextoname(int(zone))
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"there is no network interface {zone}") from None
    return zone


def join_address(host: str, port: int) -> str:
    """Return `HOST:PORT`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
