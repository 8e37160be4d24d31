"""Tell a service manager how we are, by datagrams to the socket that it named.

The protocol is a few lines of text (`man sd_notify`): READY=1 when the node serves,
STOPPING=1 when it no longer takes new clients, STATUS= for people, MAINPID= when another
process takes over, WATCHDOG=1 as a sign of life. A manager that does not answer is no
trouble: nothing here waits or fails.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger("mogstored")

# How often a sign of life is due within the manager's patience. Twice would do, had the
# sign not to come from the workers first.
_SIGNS_PER_PERIOD = 4


class Notifier:
    """The way to the service manager; silent where there is none.

    **Threads:** the main one.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = _socket_address(address) if address else None
        self.sign_interval_s = None if watchdog_s is None else watchdog_s / _SIGNS_PER_PERIOD
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """Follow NOTIFY_SOCKET and, unless it is meant for another process, the watchdog."""
        address = environ.get("NOTIFY_SOCKET")
        if not address or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
            return cls(address)
        try:
            watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6
        except ValueError:
            _log.warning("WATCHDOG_USEC=%s is not a number", environ["WATCHDOG_USEC"])
            return cls(address)
        return cls(address, watchdog_s if watchdog_s > 0 else None)

    def ready(self, *, takes_over: bool) -> None:
        """Say that the node serves, and that this process leads it if that is news."""
        main = f"\nMAINPID={os.getpid()}" if takes_over else ""
        self._send(f"READY=1{main}\nSTATUS=serving")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def hand_over(self, pid: int) -> None:
        """Let process `pid` lead from now on; of this one nothing more is told."""
        self._send(f"MAINPID={pid}")
        self._address = None

    def take_back(self) -> None:
        """Say that this process leads, since the one that was to take over has ended."""
        self._send(f"MAINPID={os.getpid()}")

    def draining(self, clients: int) -> None:
        """Show people how far the stop has come, if that is news."""
        status = f"STATUS=shutting down, {clients} clients left"
        if status != self._status:
            self._status = status
            self._send(status)

    def sign_of_life(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            _log.debug("NOTIFY_SOCKET: %s", error)


def _socket_address(name: str) -> str:
    # Linux: names that begin with @ lie outside of the file system.
    return "\0" + name[1:] if name.startswith("@") else name
