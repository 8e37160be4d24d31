"""Connections that arrive and stay: one at a time, or many at once; and who took each."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from contextlib import ExitStack

from bench.balance import ways
from bench.balance.shares import Shares, shares_of
from bench.balance.ways import Way
from bench.life.child import Child
from bench.peers import PeerFailed

# Between two slow arrivals: time enough to go back to sleep for whoever was woken.
_PAUSE_S = 0.0005
_LIMIT_S = 30.0


def spread(way: Way, processes: int, arrivals: list[int]) -> Shares:
    """Say how the connections were shared; see `takers`."""
    return shares_of(takers(way, processes, arrivals), processes)


def takers(way: Way, processes: int, arrivals: list[int]) -> list[int]:
    """Let so many connections come at once each time; return who took each, as they were taken.

    Everything is opened anew, and every connection stays to the end. Raises: PeerFailed.
    """
    with ExitStack() as stack:
        listeners = stack.enter_context(ways.listeners(way, processes))
        children = [
            stack.enter_context(
                Child(
                    "bench.balance.greeter",
                    way.name,
                    listener.fileno(),
                    number,
                    pass_fds=[listener.fileno()],
                )
            )
            for number, listener in enumerate(listeners)
        ]
        for child in children:
            child.ask("are you there?")
        address = listeners[0].getsockname()
        found = [taker for size in arrivals for taker in _arrive(stack, address, size)]
        told = [child.ask("how many?") for child in children]
    seen = [found.count(number) for number in range(processes)]
    if told != seen:
        raise PeerFailed(f"the processes say they have {told}, the clients say {seen}")
    return found


def _arrive(stack: ExitStack, address: tuple[str, int], size: int) -> list[int]:
    """Open `size` connections at once, and return who took each when all are taken."""
    if size == 1:
        time.sleep(_PAUSE_S)
    with selectors.DefaultSelector() as selector:
        for _ in range(size):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            refused = client.connect_ex(address)
            if refused not in (0, errno.EINPROGRESS):
                raise OSError(refused, f"cannot connect to {address}")
            selector.register(client, selectors.EVENT_READ)
        found: list[int] = []
        deadline = time.monotonic() + _LIMIT_S
        while len(found) < size:
            ready = selector.select(deadline - time.monotonic())
            if not ready and time.monotonic() > deadline:
                raise PeerFailed(f"{size - len(found)} connections are not taken by anybody")
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                found.append(_greeting(key.fileobj))
                selector.unregister(key.fileobj)
        return found


def _greeting(client: socket.socket) -> int:
    greeting = client.recv(1)
    if not greeting:
        raise PeerFailed("a connection was closed instead of greeted")
    return greeting[0]
