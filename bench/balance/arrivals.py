"""Connections that arrive and stay: one at a time, or many at once; and who took each."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.balance import ways
from bench.balance.ways import Way
from bench.life.child import Child
from bench.peers import PeerFailed

# Between two slow arrivals: time enough to go back to sleep for whoever was woken.
_PAUSE_S = 0.0005
_LIMIT_S = 30.0


@contextmanager
def accepting(way: Way, processes: int) -> Iterator[Crowd]:
    """Run processes that accept in that way."""
    with ExitStack() as stack:
        listeners = stack.enter_context(ways.listeners(way, processes))
        children = []
        for number, listener in enumerate(listeners):
            fd = listener.fileno()
            child = Child("bench.balance.greeter", way.name, fd, number, pass_fds=[fd])
            children.append(stack.enter_context(child))
        for child in children:
            child.ask("are you there?")
        yield Crowd(listeners[0].getsockname(), children)


@dataclass(frozen=True, slots=True)
class Crowd:
    """The clients of some accepting processes."""

    address: tuple[str, int]
    processes: Sequence[Child]

    def come(self, arrivals: Sequence[int]) -> list[int]:
        """Let so many connections come at once each time; return who took each, in that order.

        Every connection stays until all have come. Raises: PeerFailed.
        """
        with ExitStack() as stack:
            found = [taker for size in arrivals for taker in _arrive(stack, self.address, size)]
            told = [process.ask("how many?") for process in self.processes]
        seen = [found.count(number) for number in range(len(told))]
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
