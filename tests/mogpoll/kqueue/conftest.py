"""Queues of libkqueue and socket pairs for the tests of the shim."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from mogpoll.libkqueue import shim
from mogpoll.libkqueue.shim import Libkqueue, kqueue
from tests.mogpoll.kqueue.over_libkqueue import (
    PATH,
    Pair,
)


@pytest.fixture
def kernel() -> Libkqueue:
    assert PATH
    return shim.load(PATH)


@pytest.fixture
def queue(kernel: Libkqueue) -> Iterator[kqueue]:
    made = kernel.kqueue()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs
