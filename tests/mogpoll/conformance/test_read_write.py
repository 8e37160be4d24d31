"""Armed for both directions, a descriptor has one owner."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.checks import BOTH, INTERESTS, READ, WRITE, is_readable, received
from tests.mogpoll.receivers import wake_sleepers
from tests.support.sockets import drain, fill

if TYPE_CHECKING:
    from mogpoll import Interest, Poller
    from tests.mogpoll.checks import Pair


@pytest.fixture
def ready(pair: Pair) -> Pair:
    """A pair whose first socket is readable and writable."""
    pair[1].send(b"a")
    return pair


def test_either_direction_is_reported(poller: Poller, pair: Pair) -> None:
    fd = pair[0].fileno()
    poller.add(fd, BOTH)
    found = received(poller)
    fill(pair[0])
    poller.rearm(fd, BOTH)
    found += received(poller)
    pair[1].send(b"a")
    assert [*found, *received(poller)] == [fd, fd]


def test_n01_both_directions_ready_are_one_event(poller: Poller, ready: Pair) -> None:
    poller.add(ready[0].fileno(), BOTH)
    assert received(poller) == [ready[0].fileno()]


def test_n01_event_silences_the_other_direction_too(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), BOTH)
    received(poller)
    pair[1].send(b"a")
    assert received(poller) == []


@pytest.mark.parametrize("count", [2, 8])
def test_n01_of_many_waiters_one_gets_it(poller: Poller, ready: Pair, count: int) -> None:
    """A waiter woken by the other direction keeps waiting."""
    fd = ready[0].fileno()
    assert wake_sleepers(poller, count, lambda: poller.add(fd, BOTH)) == [fd]


@pytest.mark.parametrize("next_interest", INTERESTS)
def test_late_twin_after_a_rearm_is_dropped(
    poller: Poller, ready: Pair, next_interest: Interest
) -> None:
    """The other direction's event belongs to the previous arming."""
    fd = ready[0].fileno()
    poller.add(fd, BOTH)
    poller.wait()
    drain(ready[0])
    fill(ready[0])
    poller.rearm(fd, next_interest)
    assert len(received(poller)) <= (0 if next_interest == READ else 1)


def test_late_twin_is_dropped_when_the_other_direction_is_armed_next(
    poller: Poller, ready: Pair
) -> None:
    fd = ready[0].fileno()
    poller.add(fd, BOTH)
    poller.wait()
    drain(ready[0])
    poller.rearm(fd, READ)
    found = received(poller)
    ready[1].send(b"b")
    assert [found, received(poller)] == [[], [fd]]


def test_both_again_and_again_is_one_event_each_time(poller: Poller, ready: Pair) -> None:
    fd = ready[0].fileno()
    poller.add(fd, BOTH)
    found = [received(poller)]
    for _ in range(5):
        poller.rearm(fd, BOTH)
        found.append(received(poller))
    assert found == [[fd]] * 6


def test_rearm_without_an_event_leaves_one_event(poller: Poller, ready: Pair) -> None:
    fd = ready[0].fileno()
    poller.add(fd, BOTH)
    for interest in (BOTH, READ, WRITE, BOTH):
        poller.rearm(fd, interest)
    assert received(poller) == [fd]


def test_twin_of_a_forgotten_descriptor_is_dropped(poller: Poller, ready: Pair) -> None:
    fd = ready[0].fileno()
    poller.add(fd, BOTH)
    poller.wait()
    poller.forget(fd)
    found = received(poller)
    poller.add(fd, READ)
    assert [found, received(poller)] == [[], [fd]]


def test_n07_twin_is_not_reported_for_the_next_file_with_that_number(
    poller: Poller, ready: Pair
) -> None:
    fd = ready[0].fileno()
    poller.add(fd, BOTH)
    poller.wait()
    poller.forget(fd)
    near, far = socket.socketpair()
    with near, far:
        os.dup2(near.fileno(), fd)
        near.close()
        poller.add(fd, READ)
        found = received(poller)
        far.send(b"a")
        found += received(poller)
        poller.forget(fd)
    assert found == [fd]


def test_queue_is_readable_while_an_event_is_queued_and_not_before(
    poller: Poller, pair: Pair
) -> None:
    """A monitor of the queue must see events not yet received."""
    seen = [is_readable(poller.fileno())]
    poller.add(pair[0].fileno(), READ)
    seen.append(is_readable(poller.fileno()))
    pair[1].send(b"a")
    seen.append(is_readable(poller.fileno(), timeout_ms=10_000))
    received(poller)
    assert [*seen, is_readable(poller.fileno())] == [False, False, True, False]


def test_twin_does_not_keep_the_queue_readable_once_it_was_looked_at(
    poller: Poller, ready: Pair
) -> None:
    poller.add(ready[0].fileno(), BOTH)
    received(poller)
    assert not is_readable(poller.fileno())


def test_twin_does_not_end_a_wait_early(poller: Poller, ready: Pair) -> None:
    """The queue holds an event that no waiter may get."""
    poller.add(ready[0].fileno(), BOTH)
    poller.wait()
    assert poller.wait(0.02) is None
