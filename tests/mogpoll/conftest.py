"""What the tests of mogpoll share: pollers of every backend at hand, pairs of sockets."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mogpoll import backends
from tests.mogpoll.acceptors import Customers
from tests.mogpoll.backends import Backend
from tests.mogpoll.tasks import Bench
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogpoll import Poller

# HYPOTHESIS_PROFILE=long is for a night; the short one is part of every run.
settings.register_profile(
    "mogpoll-short",
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
)
settings.register_profile(
    "mogpoll-long",
    max_examples=2000,
    stateful_step_count=50,
    deadline=None,
    # Examples are many already; the time to make a failing one smaller is well spent.
    phases=list(Phase),
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(params=backends.parameters())
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend at hand, in turn."""
    found: Backend = request.param
    return found


@pytest.fixture
def poller(backend: Backend) -> Iterator[Poller]:
    """A poller of each backend at hand, closed at the end."""
    opened = backend.open()
    yield opened
    opened.close()


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns at almost every instruction: races show that are rare otherwise."""
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
def bench(poller: Poller, caplog: pytest.LogCaptureFixture) -> Iterator[Bench]:
    """Pools on that poller, stopped at the end; what mogpoll logs counts as a failure.

    A test that provokes an error looks at the log and clears it.
    """
    made = Bench(poller)
    yield made
    made.finish()
    logged = [record for record in caplog.get_records("call") if record.name == "mogpoll"]
    assert [record.getMessage() for record in logged] == []


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listener with room for all customers of a test."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as made:
        yield made


@pytest.fixture
def customers() -> Iterator[Customers]:
    """Whoever an acceptor passes on, closed at the end."""
    made = Customers()
    yield made
    made.close()
