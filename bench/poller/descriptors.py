"""Connected pairs of sockets to register, with and without something to read."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Give `count` pairs of non-blocking sockets."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            pair = socket.socketpair()
            for each in pair:
                stack.enter_context(each).setblocking(False)
            made.append(pair)
        yield made


@contextmanager
def readable(ready: int, registered: int) -> Iterator[tuple[list[int], list[int]]]:
    """Give `ready` descriptors with a byte to read, and the rest of `registered` without."""
    with pairs(_half(ready)) as full, pairs(_half(registered - ready)) as empty:
        for one, other in full:
            one.send(b"x")
            other.send(b"x")
        yield _descriptors(full)[:ready], _descriptors(empty)[: registered - ready]


def _half(count: int) -> int:
    return (count + 1) // 2


def _descriptors(made: list[tuple[socket.socket, socket.socket]]) -> list[int]:
    return [each.fileno() for pair in made for each in pair]
