"""Fixtures: pollers of every available backend, socket pairs, pools, acceptors."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll import backends
from tests.mogpoll.backends import Backend
from tests.mogpoll.pool.tasks import PoolFixture
from tests.mogpoll.threads.acceptors import Sink
from tests.support.descriptors import none_left_open
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogpoll import Poller


@pytest.fixture(autouse=True)
def _leaves_no_descriptor_open() -> Iterator[None]:
    """Set up before the other fixtures of a test, and so checked after them."""
    with none_left_open():
        yield


@pytest.fixture(params=backends.parameters())
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each available backend in turn."""
    found: Backend = request.param
    return found


@pytest.fixture
def poller(backend: Backend) -> Iterator[Poller]:
    """A poller of each available backend, closed at the end."""
    opened = backend.open()
    yield opened
    opened.close()


@pytest.fixture
def restless() -> Iterator[None]:
    """Switch threads at almost every instruction, to provoke rare races."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected stream sockets, non-blocking."""
    with stream_pair() as both:
        yield both


@pytest.fixture
def pools(poller: Poller, caplog: pytest.LogCaptureFixture) -> Iterator[PoolFixture]:
    """Pools on that poller, stopped at the end; any log line of mogpoll is a failure.

    A test that provokes an error checks the log and clears it.
    """
    made = PoolFixture(poller)
    yield made
    made.finish()
    logged = [record for record in caplog.get_records("call") if record.name == "mogpoll"]
    assert [record.getMessage() for record in logged] == []


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listener with a backlog for all connections of a test."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as made:
        yield made


@pytest.fixture
def sink() -> Iterator[Sink]:
    """The connections that an acceptor passes on, closed at the end."""
    made = Sink()
    yield made
    made.close()
