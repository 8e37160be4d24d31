"""Resumed tasks all run, although each may block, and do not starve others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import Next, WorkerPool, open_poller
from tests.support.sockets import stream_pair
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from mogpoll import Poller

THREADS = 4


class Blocker:
    """A parked task whose step waits until the test is over."""

    def __init__(self, sock: socket.socket, barrier: threading.Barrier) -> None:
        self._sock = sock
        self._barrier = barrier
        self.is_inside = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def step(self, _workspace: None) -> Next:
        self.is_inside = True
        self._barrier.wait(10.0)
        return Next.PARKED

    def close(self) -> None:
        """The test closes the socket."""


class Resumer:
    """A task whose step resumes others."""

    def __init__(self, sock: socket.socket, resume: Callable[[], None]) -> None:
        self._sock = sock
        self._resume = resume

    def fileno(self) -> int:
        return self._sock.fileno()

    def step(self, _workspace: None) -> Next:
        self._sock.recv(10)
        self._resume()
        return Next.READ

    def close(self) -> None:
        """The test closes the socket."""


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = open_poller()
    yield poller
    poller.close()


@pytest.mark.parametrize("by", ["a step", "another thread"])
def test_all_tasks_that_are_resumed_at_once_go_on(poller: Poller, by: str) -> None:
    barrier = threading.Barrier(THREADS)
    with stream_pair() as (near, far):
        pool: WorkerPool[Blocker | Resumer, None] = WorkerPool(poller, THREADS)
        # The last place at the barrier is for the test.
        blockers = [Blocker(near, barrier) for _ in range(THREADS - 1)]

        def resume() -> None:
            for blocker in blockers:
                pool.resume(blocker)

        pool.add(Resumer(near, resume))
        if by == "a step":
            far.send(b"x")
        else:
            resume()
        wait_until(lambda: all(blocker.is_inside for blocker in blockers), "all go on")
        barrier.wait(10.0)
        assert pool.stop(10.0)


class Restless:
    """A parked task that is resumed by each of its steps, until it is stopped."""

    def __init__(self, sock: socket.socket, resume: Callable[[Restless], None]) -> None:
        self._sock = sock
        self._resume = resume
        self.steps = 0
        self.stopped = threading.Event()

    def fileno(self) -> int:
        return self._sock.fileno()

    def step(self, _workspace: None) -> Next:
        self.steps += 1
        if not self.stopped.is_set():
            self._resume(self)
        return Next.PARKED

    def close(self) -> None:
        """The test closes the socket."""


def test_tasks_that_are_resumed_for_ever_leave_the_poller_its_turn(poller: Poller) -> None:
    stop = threading.Event()
    with stream_pair() as (near, far), stream_pair() as (other, _):
        pool: WorkerPool[Restless | Resumer, None] = WorkerPool(poller, 1)
        restless = Restless(other, pool.resume)
        pool.resume(restless)
        wait_until(lambda: restless.steps > 100, "it is stepped again and again")
        pool.add(Resumer(near, stop.set))
        far.send(b"x")
        assert stop.wait(10.0)
        steps = restless.steps
        wait_until(lambda: restless.steps > steps, "it goes on")
        restless.stopped.set()
        assert pool.stop(10.0)
