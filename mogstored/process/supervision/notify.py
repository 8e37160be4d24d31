"""Notify the service manager of the node's state, by datagrams to NOTIFY_SOCKET.

The protocol is lines of text (sd_notify(3)): READY=1 when the node serves, STOPPING=1 when it no
longer accepts clients, STATUS= for people, MAINPID= when another process takes over, WATCHDOG=1 as
a keep-alive. Nothing here waits for the manager or fails. While the manager does not read (a boot
with many units, a manager that re-executes itself), READY, MAINPID and STOPPING are kept and sent
again; the others are lost.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic

from mogstored.log.bounded_writer import FlushResult

_log = logging.getLogger("mogstored")

# Keep-alives per watchdog period. sd_watchdog_enabled(3) asks for two; ours first pass through the
# worker threads or processes.
_KEEPALIVES_PER_PERIOD = 4
# The value systemd sends for `WatchdogSec=infinity`.
_INFINITE_USEC = 2**64 - 1
# How long a message is kept for a manager that does not read.
_KEPT_S = 600.0
# The manager's queue is full, it is restarting, or this process lacks descriptors or memory.
_TRANSIENT = frozenset(
    {errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.EMFILE, errno.ENFILE}
)


class Notifier:
    """The connection to the service manager; does nothing if there is none.

    **Threads:** the main one.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = _socket_address(address) if address else None
        self.keepalive_interval_s = watchdog_s and watchdog_s / _KEEPALIVES_PER_PERIOD
        self._status = ""
        self._is_mute = False
        self._kept: deque[tuple[float, str]] = deque()
        """Pairs of a deadline and a message."""
        self.on_pending: Callable[[], None] = _do_nothing

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """Follow NOTIFY_SOCKET, and WATCHDOG_USEC if WATCHDOG_PID is absent or `pid`."""
        address = environ.get("NOTIFY_SOCKET")
        if not address or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
            return cls(address)
        try:
            usec = int(environ.get("WATCHDOG_USEC", "0"))
        except ValueError:
            _log.warning("WATCHDOG_USEC=%s is not a number: no watchdog", environ["WATCHDOG_USEC"])
            return cls(address)
        return cls(address, usec / 1e6 if 0 < usec < _INFINITE_USEC else None)

    def ready(self, *, takes_over: bool) -> None:
        """Report that the node serves; with `takes_over`, also that this process now leads it."""
        main = f"\nMAINPID={os.getpid()}" if takes_over else ""
        self._must_send(f"READY=1{main}\nSTATUS=serving")

    def stopping(self) -> None:
        self._must_send("STOPPING=1")

    def hand_over(self, pid: int) -> None:
        """Report that process `pid` leads the node; send nothing about this process any more.

        systemd looks whether the leading process is its child only when the PID changes, and it
        does not wait for the stop of one that is not. So this process is named once in between.
        """
        self._must_send(f"MAINPID={os.getpid()}")
        self._must_send(f"MAINPID={pid}")
        self._is_mute = True

    def take_back(self) -> None:
        """Report that this process leads again, after the end of its successor."""
        self._must_send(f"MAINPID={os.getpid()}")

    def draining(self, clients: int) -> None:
        """Show the progress of a stop, if it has changed."""
        status = f"STATUS=shutting down, {clients} clients left"
        if status != self._status:
            self._status = status
            self._may_lose(status)

    def keepalive(self) -> None:
        self._may_lose("WATCHDOG=1")

    def flush(self) -> FlushResult:
        """Send what is kept, in order, as far as the manager reads it."""
        while self._kept:
            until, text = self._kept[0]
            if not self._send(text):
                if monotonic() < until:
                    return FlushResult.FULL
                shown = text.replace("\n", " ")
                _log.warning(
                    "NOTIFY_SOCKET: dropped after %d s without a reader: %s", _KEPT_S, shown
                )
            self._kept.popleft()
        return FlushResult.DONE

    def _must_send(self, text: str) -> None:
        if self._is_mute:
            return
        self._kept.append((monotonic() + _KEPT_S, text))
        if self.flush() is not FlushResult.DONE:
            self.on_pending()

    def _may_lose(self, text: str) -> None:
        """Send, unless the manager does not read or earlier messages are waiting."""
        if not self._is_mute and not self._kept:
            self._send(text)

    def _send(self, text: str) -> bool:
        """Return False if a later attempt may succeed."""
        if self._address is None:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), self._address)
        except OSError as error:
            if error.errno in _TRANSIENT:
                return False
            _log.debug("NOTIFY_SOCKET: %s", error)
        return True


def _socket_address(name: str) -> str:
    # unix(7): @ stands for the NUL byte of Linux's abstract namespace.
    return "\0" + name[1:] if name.startswith("@") else name


def _do_nothing() -> None:
    pass
