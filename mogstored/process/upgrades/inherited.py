"""Listening sockets inherited from another process.

They come from a node that is being upgraded (CMOGSTORED_FD, a list of descriptors) or from socket
activation (LISTEN_FDS, a number of descriptors from 3 on, for the process LISTEN_PID; see
sd_listen_fds(3)). Either way the configuration names the wanted addresses: a socket bound to one
of them is used as it is, the others are closed.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from typing import Self

from mogstored.config.model import ConfigError
from mogstored.config.values.addresses import Address
from mogstored.connections.listeners import BACKLOG, bound_host, describe, set_options
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

UPGRADE_VARIABLE = "CMOGSTORED_FD"
# How many upgrades there have been since a process was started by other means.
COUNT_VARIABLE = "MOGSTORED_UPGRADES"
ACTIVATION_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

_FIRST_ACTIVATED = 3
_DIGITS = re.compile("[0-9]*")
# The limits of C cmogstored: ULONG_MAX when it parses, INT_MAX for a descriptor.
_MAX_READABLE = 2**64 - 1
_MAX_DESCRIPTOR = 2**31 - 1


class Inherited:
    """The inherited sockets that have not been taken yet.

    **Threads:** the main one, before there are others.
    """

    def __init__(self, by_upgrade: bool = False) -> None:
        self.by_upgrade = by_upgrade
        self._sockets: dict[str, socket.socket] = {}

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> Self:
        """Own the sockets listed in the environment, and remove the lists from it.

        **Raises:** `ConfigError` if a descriptor listed is not a listening socket.
        """
        listed = environ.pop(UPGRADE_VARIABLE, "")
        activated, meant_for, _ = (environ.pop(name, "") for name in ACTIVATION_VARIABLES)
        inherited = cls(by_upgrade=bool(listed))
        for fd in parse_descriptors(listed) if listed else ():
            inherited.add(fd)
        if activated and meant_for == str(pid):
            for fd in _activated(activated):
                inherited.add(fd)
        return inherited

    def add(self, fd: int) -> None:
        """Own descriptor `fd`.

        **Raises:** `ConfigError` unless it is the only socket that listens for TCP connections
        on its address.
        """
        sock = _as_listener(fd)
        addr = describe(sock)
        if addr in self._sockets:
            sock.close()
            raise ConfigError(f"descriptor {fd} is a second socket that listens on {addr}")
        self._sockets[addr] = sock

    def take(self, address: Address) -> socket.socket | None:
        """Remove and return the socket bound to exactly this address, if there is one."""
        addr = self._find(address)
        if addr is None:
            return None
        sock = self._sockets.pop(addr)
        _log.info("inherited %s on descriptor %d", addr, sock.fileno())
        set_options(sock)
        sock.listen(BACKLOG)
        return sock

    def has(self, address: Address) -> bool:
        """Return whether `take` would return a socket."""
        return self._find(address) is not None

    def _find(self, address: Address) -> str | None:
        if not self._sockets:
            return None
        names = (address.text, _as_bound(address))
        return next((name for name in names if name in self._sockets), None)

    def close_unwanted(self) -> None:
        """Close the sockets that have not been taken."""
        for addr, sock in self._sockets.items():
            _log.info("closing inherited descriptor %d: %s is not wanted", sock.fileno(), addr)
            sock.close()
        self._sockets.clear()


def count_upgrades(environ: Mapping[str, str]) -> int:
    """Return how many upgrades led to the process with this environment."""
    count = environ.get(COUNT_VARIABLE, "") if environ.get(UPGRADE_VARIABLE) else ""
    return int(count) if count.isdecimal() and len(count) < 10 else 0


def _as_bound(address: Address) -> str:
    """Return the address that getsockname reports for a socket bound to `address`.

    In a FreeBSD jail with one address, binding the wildcard binds that address; so does binding
    the loopback address if the jail has none (prison_local_ip4 in sys/netinet/in_jail.c).
    """
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(address._replace(port=0).sockaddr)
        except OSError:
            # The bind that follows fails as well, and reports it.
            return address.text
        return address._replace(host=bound_host(probe)).text


def parse_descriptors(listed: str) -> list[int]:
    """Return the numbers in a list such as `5,6`.

    **Raises:** `ConfigError`.
    """
    fds = []
    position = 0
    while True:
        digits = _DIGITS.match(listed, position)
        assert digits is not None
        position = digits.end()
        behind = listed[position : position + 1]
        if behind not in ("", ",") or not digits[0]:
            code = os.fsencode(behind)[0] if behind else 0
            raise ConfigError(f"{UPGRADE_VARIABLE}={listed}: invalid byte: {code}")
        fds.append(_number(UPGRADE_VARIABLE, digits[0]))
        if not behind:
            return fds
        position += 1


def _activated(count: str) -> range:
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(f"LISTEN_FDS={count} is not a number")
    return range(_FIRST_ACTIVATED, _FIRST_ACTIVATED + _number("LISTEN_FDS", count))


def _number(variable: str, digits: str) -> int:
    # Not converted if longer: `int` refuses thousands of digits.
    if len(digits) > 40 or int(digits) > _MAX_READABLE:
        raise ConfigError(f"{variable}: failed to parse {digits[:40]}: out of range")
    if int(digits) > _MAX_DESCRIPTOR:
        raise ConfigError(f"{variable}: {digits} is no descriptor: too large")
    return int(digits)


def _as_listener(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigError(f"getsockname({fd}) failed: {reason(error)}") from None
    sock.set_inheritable(False)
    is_inet = sock.family in (socket.AF_INET, socket.AF_INET6)
    is_listening = (
        is_inet
        and sock.type == socket.SOCK_STREAM
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if not is_listening:
        sock.close()
        raise ConfigError(f"descriptor {fd} is not a socket that listens for TCP connections")
    return sock
