"""Shorthands for the events of a poller, and for the state of its descriptor."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from mogpoll import Interest

if TYPE_CHECKING:
    from mogpoll import Poller

READ, WRITE, BOTH = Interest.READ, Interest.WRITE, Interest.READ_WRITE
INTERESTS = (READ, WRITE, BOTH)

Pair = tuple[socket.socket, socket.socket]


def received(poller: Poller) -> list[int]:
    """Receive all queued events; return their descriptors in order."""
    found = []
    while event := poller.wait(0):
        found.append(event.fd)
    return found


def is_readable(fd: int, timeout_ms: int = 0) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_ms))
