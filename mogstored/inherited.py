"""Listening sockets that another process left to this one, by descriptor.

They come from the node that is being upgraded (CMOGSTORED_FD, a list of numbers) or from a
service manager that listens on our behalf (LISTEN_FDS, so many from number 3 on, meant for
the process LISTEN_PID). Either way the configuration says which addresses are wanted: what
fits is used instead of binding, and the rest is closed.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import MutableMapping
from typing import Self

from mogstored.config.model import ConfigError
from mogstored.listeners import BACKLOG, Address, describe, set_options

_log = logging.getLogger("mogstored")

UPGRADE_VARIABLE = "CMOGSTORED_FD"
ACTIVATION_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

_FIRST_ACTIVATED = 3
_DIGITS = re.compile("[0-9]*")
# Of C: an unsigned long and an int, in which descriptors are read and kept.
_MAX_READABLE = 2**64 - 1
_MAX_DESCRIPTOR = 2**31 - 1


class Inherited:
    """The sockets that were left to this process and that nobody has taken yet.

    **Threads:** the main one, before there are others.
    """

    def __init__(self, by_upgrade: bool = False) -> None:
        self.by_upgrade = by_upgrade
        self._sockets: dict[str, socket.socket] = {}

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> Self:
        """Take over what the environment lists, and remove that list from it.

        **Raises:** `ConfigError` when an entry of it is no listening socket.
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

        **Raises:** `ConfigError` unless it is a socket that listens for streams on an
        address that no other one has.
        """
        sock = _as_listener(fd)
        addr = describe(sock)
        if addr in self._sockets:
            raise ConfigError(f"descriptor {fd} is a second socket that listens on {addr}")
        self._sockets[addr] = sock

    def take(self, address: Address) -> socket.socket | None:
        """Return the socket that is bound to exactly this address, if there is one."""
        addr = address.text
        if addr not in self._sockets and self._sockets:
            addr = _as_bound(address)
        sock = self._sockets.pop(addr, None)
        if sock is None:
            return None
        _log.info("inherited %s on descriptor %d", addr, sock.fileno())
        set_options(sock)
        sock.listen(BACKLOG)
        return sock

    def close_unwanted(self) -> None:
        """Close what the configuration has no use for."""
        for addr, sock in self._sockets.items():
            _log.info("closing inherited descriptor %d: %s is not wanted", sock.fileno(), addr)
            sock.close()
        self._sockets.clear()


def _as_bound(address: Address) -> str:
    """Return what a socket that was bound to the address says of itself.

    In a FreeBSD jail that has one address, the wildcard is turned into that one, and so is
    the loopback address if the jail has none (prison_local_ip4 in sys/netinet/in_jail.c).
    """
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address.host, 0))
        except OSError:
            # Whoever binds the address for good will be told.
            return address.text
        host = probe.getsockname()[0]
    return address._replace(host=host).text


def parse_descriptors(listed: str) -> list[int]:
    """Return the numbers of a list such as `5,6`.

    **Raises:** `ConfigError` that says what is wrong with it.
    """
    fds = []
    place = 0
    while True:
        digits = _DIGITS.match(listed, place)
        assert digits is not None
        place = digits.end()
        behind = listed[place : place + 1]
        if behind not in ("", ",") or not digits[0]:
            code = os.fsencode(behind)[0] if behind else 0
            raise ConfigError(f"{UPGRADE_VARIABLE}={listed}: invalid byte: {code}")
        fds.append(_number(UPGRADE_VARIABLE, digits[0]))
        if not behind:
            return fds
        place += 1


def _activated(count: str) -> range:
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(f"LISTEN_FDS={count} is not a number")
    return range(_FIRST_ACTIVATED, _FIRST_ACTIVATED + _number("LISTEN_FDS", count))


def _number(variable: str, digits: str) -> int:
    # Longer ones are not even converted: the interpreter refuses thousands of digits.
    if len(digits) > 40 or int(digits) > _MAX_READABLE:
        raise ConfigError(f"{variable}: failed to parse {digits[:40]}: out of range")
    if int(digits) > _MAX_DESCRIPTOR:
        raise ConfigError(f"{variable}: {digits} is beyond all descriptors")
    return int(digits)


def _as_listener(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigError(f"getsockname({fd}) failed: {error.strerror}") from None
    sock.set_inheritable(False)
    is_inet = sock.family in (socket.AF_INET, socket.AF_INET6)
    is_listening = (
        is_inet
        and sock.type == socket.SOCK_STREAM
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if not is_listening:
        raise ConfigError(f"descriptor {fd} is not a socket that listens for TCP connections")
    return sock
