"""Wakers: one wake for one thread, or one wake that reaches every thread in turn."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mogpoll import BouncingWaker, NotRegistered, Waker
from tests.mogpoll.backends import Backend
from tests.mogpoll.checks import READ, WRITE, is_readable, received
from tests.mogpoll.receivers import EVENTS, THREADS
from tests.support.descriptors import open_numbers
from tests.support.sockets import drain
from tests.support.threads import Running, is_held, run_all, wait_until_asleep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mogpoll import Poller
    from tests.mogpoll.checks import Pair

# Without eventfd, both are pipes.
either_kind = pytest.mark.parametrize("pipe", [False, True], ids=["eventfd", "pipe"])


@pytest.fixture(params=[False, True], ids=["eventfd", "pipe"])
def waker(request: pytest.FixtureRequest) -> Iterator[Waker]:
    made = Waker(pipe=request.param)
    yield made
    made.close()


@pytest.fixture(params=[False, True], ids=["eventfd", "pipe"])
def bouncing(request: pytest.FixtureRequest) -> Iterator[BouncingWaker]:
    made = BouncingWaker(pipe=request.param)
    yield made
    made.close()


def leave_when_bounced(poller: Poller, waker: BouncingWaker) -> Callable[[], None]:
    def wait() -> None:
        event = poller.wait()
        assert event is not None
        assert event.fd == waker.fileno()
        waker.receive(poller)

    return wait


def test_n27_waker_that_was_not_woken_is_silent(poller: Poller, waker: Waker) -> None:
    waker.attach(poller)
    assert received(poller) == []


def test_n27_waker_is_reported_by_the_descriptor_that_attach_returns(
    poller: Poller, waker: Waker
) -> None:
    fd = waker.attach(poller)
    waker.wake()
    assert (fd, received(poller)) == (waker.fileno(), [fd])


def test_wake_before_attach_is_not_lost(poller: Poller, waker: Waker) -> None:
    waker.wake()
    fd = waker.attach(poller)
    assert received(poller) == [fd]


def test_many_wakes_before_anybody_looked_are_one_event(poller: Poller, waker: Waker) -> None:
    fd = waker.attach(poller)
    for _ in range(1000):
        waker.wake()
    found = received(poller)
    waker.receive(poller)
    assert [found, received(poller)] == [[fd], []]


def test_drained_waker_can_be_woken_again(poller: Poller, waker: Waker) -> None:
    fd = waker.attach(poller)
    found = []
    for _ in range(3):
        waker.wake()
        found += received(poller)
        waker.receive(poller)
        found += received(poller)
    assert found == [fd] * 3


def test_wake_between_event_and_receive_is_not_reported_twice_or_lost(
    poller: Poller, waker: Waker
) -> None:
    fd = waker.attach(poller)
    waker.wake()
    received(poller)
    waker.wake()
    waker.receive(poller)
    assert received(poller) == []
    waker.wake()
    assert received(poller) == [fd]


def test_full_waker_can_still_be_woken(waker: Waker) -> None:
    for _ in range(100_000):
        waker.wake()
    assert is_readable(waker.fileno())
    waker.drain()
    assert not is_readable(waker.fileno())


def test_drain_of_what_was_not_woken_does_not_block(waker: Waker) -> None:
    waker.drain()
    assert not is_readable(waker.fileno())


def test_drained_waker_wakes_one_of_many_threads(poller: Poller, waker: Waker) -> None:
    fd = waker.attach(poller)
    received, over = threading.Semaphore(0), BouncingWaker(pipe=True)
    over_fd = over.attach(poller)
    counts = []

    def wait() -> None:
        count = 0
        while (event := poller.wait()) and event.fd == fd:
            count += 1
            waker.receive(poller)
            received.release()
        assert event is not None
        assert event.fd == over_fd
        counts.append(count)
        over.receive(poller)

    waiters = [Running(wait) for _ in range(THREADS)]
    for _ in range(100):
        waker.wake()
        assert received.acquire(timeout=20)
    over.wake()
    for waiter in waiters:
        waiter.result()
    over.close()
    assert sum(counts) == 100


def test_n26_bouncing_waker_reaches_every_sleeping_thread(
    poller: Poller, bouncing: BouncingWaker
) -> None:
    bouncing.attach(poller)
    waiters = [Running(leave_when_bounced(poller, bouncing)) for _ in range(THREADS)]
    wait_until_asleep(waiters)
    bouncing.wake()
    for waiter in waiters:
        waiter.result()


def test_n26_bouncing_waker_reaches_threads_that_come_later(
    poller: Poller, bouncing: BouncingWaker
) -> None:
    bouncing.attach(poller)
    bouncing.wake()
    for _ in range(2):
        run_all([leave_when_bounced(poller, bouncing)] * THREADS)


def test_n26_bouncing_waker_reaches_each_of_many_threads_again_and_again(
    poller: Poller, bouncing: BouncingWaker
) -> None:
    """Ten thousand bounces: one that is not passed on leaves a thread asleep."""
    bouncing.attach(poller)
    bouncing.wake()
    leave = leave_when_bounced(poller, bouncing)

    def wait() -> None:
        for _ in range(EVENTS // THREADS):
            leave()

    run_all([wait] * THREADS)


def test_n26_bouncing_waker_is_left_ready_by_the_last_thread(
    poller: Poller, bouncing: BouncingWaker
) -> None:
    fd = bouncing.attach(poller)
    bouncing.wake()
    run_all([leave_when_bounced(poller, bouncing)] * THREADS)
    assert received(poller) == [fd]


def test_n26_bouncing_waker_does_not_starve_others(
    poller: Poller, bouncing: BouncingWaker, pair: Pair
) -> None:
    """However often it is re-armed, other events get their turn."""
    poller.add(pair[0].fileno(), WRITE)
    bouncing.attach(poller)
    bouncing.wake()
    for _ in range(10):
        event = poller.wait()
        assert event is not None
        if event.fd == pair[0].fileno():
            break
        bouncing.receive(poller)
    else:
        pytest.fail("only the waker was reported")


def test_two_wakers_are_distinguished(
    poller: Poller, waker: Waker, bouncing: BouncingWaker
) -> None:
    fds = [waker.attach(poller), bouncing.attach(poller)]
    bouncing.wake()
    first = received(poller)
    waker.wake()
    assert [first, received(poller)] == [[fds[1]], [fds[0]]]


def test_wake_from_many_threads(poller: Poller, waker: Waker) -> None:
    fd = waker.attach(poller)

    def wake() -> None:
        for _ in range(500):
            waker.wake()

    run_all([wake] * THREADS)
    assert received(poller) == [fd]


def test_pipe_can_be_asked_for() -> None:
    waker = Waker(pipe=True)
    mode = os.fstat(waker.fileno()).st_mode
    waker.close()
    assert stat.S_ISFIFO(mode)


CALLS: dict[str, Callable[[Waker, Poller], object]] = {
    "wake": lambda waker, _: waker.wake(),
    "drain": lambda waker, _: waker.drain(),
    "attach": lambda waker, poller: waker.attach(poller),
    "receive": lambda waker, poller: waker.receive(poller),
    "fileno": lambda waker, _: waker.fileno(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("kind", [Waker, BouncingWaker])
@either_kind
def test_closed_waker_refuses_every_call(
    poller: Poller, kind: type[Waker], pipe: bool, call: Callable[[Waker, Poller], object]
) -> None:
    waker = kind(pipe=pipe)
    waker.close()
    waker.close()
    with pytest.raises(ValueError, match="the waker is closed"):
        call(waker, poller)


@either_kind
@pytest.mark.usefixtures("restless")
def test_n31_wake_beside_close_touches_no_file_that_has_its_number_next(pipe: bool) -> None:
    for _ in range(100):
        waker = Waker(pipe=pipe)

        def wake(waker: Waker = waker) -> None:
            with contextlib.suppress(ValueError):
                while True:
                    waker.wake()

        wakers = [Running(wake) for _ in range(3)]
        waker.close()
        near, far = socket.socketpair()
        with near, far:
            for one in wakers:
                one.result()
            near.setblocking(False)
            far.setblocking(False)
            assert (drain(near), drain(far)) == (b"", b"")


@either_kind
def test_closed_waker_leaves_no_descriptor(poller: Poller, pipe: bool) -> None:
    before = open_numbers()
    waker = Waker(pipe=pipe)
    fd = waker.attach(poller)
    waker.wake()
    poller.forget(fd)
    waker.close()
    assert open_numbers() == before


def test_waker_can_be_attached_again(poller: Poller, waker: Waker) -> None:
    fd = waker.attach(poller)
    poller.forget(fd)
    with pytest.raises(NotRegistered):
        waker.receive(poller)
    assert waker.attach(poller) == fd
    waker.wake()
    assert received(poller) == [fd]


def test_waker_can_be_attached_to_two_pollers(poller: Poller, backend: Backend) -> None:
    """A pipe, since a backend may replace the eventfd by one."""
    waker, other = Waker(pipe=True), backend.open()
    fd = waker.attach(poller)
    other.add(fd, READ)
    waker.wake()
    found = [received(poller), received(other)]
    other.close()
    waker.close()
    assert found == [[fd], [fd]]


@pytest.mark.parametrize("kind", [Waker, BouncingWaker])
@either_kind
def test_waker_is_not_inherited_by_exec(kind: type[Waker], pipe: bool) -> None:
    waker = kind(pipe=pipe)
    inheritable = os.get_inheritable(waker.fileno())
    waker.close()
    assert not inheritable


def test_descriptor_is_used_under_the_lock_of_the_close(
    waker: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    for name in ("read", "write", "eventfd_read", "eventfd_write"):
        genuine = getattr(os, name, None)

        def call(*args: object, genuine: Any = genuine) -> object:
            held.append(is_held(waker._lock))
            return genuine(*args)

        monkeypatch.setattr(os, name, call, raising=False)
    waker.wake()
    waker.drain()
    assert held == [True, True]
