"""An arming yields one event; the descriptor then stays silent until it is re-armed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mogpoll import AlreadyRegistered, Event, Readiness
from tests.mogpoll.backends import Backend
from tests.mogpoll.checks import BOTH, INTERESTS, READ, WRITE, received
from tests.support.sockets import drain, fill, stream_pair, tcp_pair

if TYPE_CHECKING:
    from mogpoll import Interest, Poller
    from tests.mogpoll.checks import Pair


def test_nothing_is_reported_without_readiness(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    assert received(poller) == []


def test_data_that_was_there_before_is_reported(poller: Poller, pair: Pair) -> None:
    pair[1].send(b"a")
    poller.add(pair[0].fileno(), READ)
    assert poller.wait() == Event(pair[0].fileno(), Readiness.READABLE)


def test_data_that_comes_later_is_reported(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    pair[1].send(b"a")
    assert poller.wait() == Event(pair[0].fileno(), Readiness.READABLE)


def test_room_is_reported_to_a_writer(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), WRITE)
    assert poller.wait() == Event(pair[0].fileno(), Readiness.WRITABLE)


def test_room_that_comes_later_is_reported_to_a_writer(poller: Poller, pair: Pair) -> None:
    fill(pair[0])
    poller.add(pair[0].fileno(), WRITE)
    before = received(poller)
    drain(pair[1])
    assert (before, received(poller)) == ([], [pair[0].fileno()])


@pytest.mark.parametrize("make", [tcp_pair, stream_pair])
@pytest.mark.parametrize("interest", INTERESTS)
def test_n02_second_event_needs_a_rearm(poller: Poller, make: object, interest: Interest) -> None:
    assert callable(make)
    with make() as (near, far):
        far.send(b"a")
        poller.add(near.fileno(), interest)
        poller.wait()
        silent = received(poller)
        far.send(b"b")
        silent += received(poller)
        poller.rearm(near.fileno(), interest)
        after = poller.wait()
        assert after is not None
        assert (silent, after.fd) == ([], near.fileno())


def test_n02_rearming_goes_on_for_ever(poller: Poller, pair: Pair) -> None:
    fd = pair[0].fileno()
    pair[1].send(b"a")
    poller.add(fd, READ)
    found = received(poller)
    for interest in (WRITE, READ, READ, WRITE, BOTH, READ, BOTH, BOTH, WRITE):
        poller.rearm(fd, interest)
        found += received(poller)
    assert found == [fd] * 10


def test_n02_second_add_is_refused_and_changes_nothing(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    with pytest.raises(AlreadyRegistered):
        poller.add(pair[0].fileno(), WRITE)
    before = received(poller)
    pair[1].send(b"a")
    assert (before, received(poller)) == ([], [pair[0].fileno()])


def test_n02_add_is_refused_after_delivery_too(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), WRITE)
    poller.wait()
    with pytest.raises(AlreadyRegistered):
        poller.add(pair[0].fileno(), WRITE)
    assert received(poller) == []


@pytest.mark.parametrize("was", INTERESTS)
@pytest.mark.parametrize("becomes", INTERESTS)
def test_rearm_replaces_what_was_armed_before(
    poller: Poller, pair: Pair, was: Interest, becomes: Interest
) -> None:
    fill(pair[0])
    poller.add(pair[0].fileno(), was)
    poller.rearm(pair[0].fileno(), becomes)
    pair[1].send(b"a")
    found = received(poller)
    if becomes == WRITE:
        drain(pair[1])
        found += received(poller)
    assert found == [pair[0].fileno()]


def test_rearm_takes_back_what_was_queued_for_the_other_direction(
    poller: Poller, pair: Pair
) -> None:
    poller.add(pair[0].fileno(), WRITE)
    poller.rearm(pair[0].fileno(), READ)
    assert received(poller) == []


def test_rearm_while_an_event_is_queued_leaves_one_event(poller: Poller, pair: Pair) -> None:
    pair[1].send(b"a")
    poller.add(pair[0].fileno(), READ)
    poller.rearm(pair[0].fileno(), READ)
    assert received(poller) == [pair[0].fileno()]


@pytest.mark.parametrize("interest", INTERESTS)
def test_n01_armed_for_one_direction_the_other_is_silent(
    poller: Poller, pair: Pair, interest: Interest
) -> None:
    fill(pair[0])
    poller.add(pair[0].fileno(), interest)
    if interest != READ:
        assert received(poller) == []
        drain(pair[1])
        assert received(poller) == [pair[0].fileno()]
    else:
        drain(pair[1])
        assert received(poller) == []


@pytest.mark.parametrize("interest", INTERESTS)
def test_n03_stale_event_is_a_hint_and_nothing_breaks(
    poller: Poller, pair: Pair, interest: Interest
) -> None:
    """Draining before the event is received leaves a stale event, or none."""
    fd = pair[0].fileno()
    fill(pair[0])
    pair[1].send(b"a")
    poller.add(fd, interest)
    drain(pair[0])
    assert received(poller) in ([], [fd])
    poller.rearm(fd, interest)
    received(poller)
    poller.rearm(fd, READ)
    pair[1].send(b"b")
    assert received(poller) == [fd]


def test_n11_each_wait_takes_one_event_and_leaves_the_rest(poller: Poller) -> None:
    with stream_pair() as (one, far_one), stream_pair() as (two, far_two):
        for near, far in ((one, far_one), (two, far_two)):
            poller.add(near.fileno(), READ)
            far.send(b"a")
        first, second, third = (poller.wait(0) for _ in range(3))
        assert first is not None
        assert second is not None
        assert {first.fd, second.fd} == {one.fileno(), two.fileno()}
        assert third is None


def test_forgotten_descriptor_is_silent(poller: Poller, pair: Pair) -> None:
    poller.add(pair[0].fileno(), READ)
    poller.forget(pair[0].fileno())
    pair[1].send(b"a")
    assert received(poller) == []


@pytest.mark.parametrize("interest", INTERESTS)
def test_forget_drops_what_is_queued(poller: Poller, pair: Pair, interest: Interest) -> None:
    pair[1].send(b"a")
    poller.add(pair[0].fileno(), interest)
    poller.forget(pair[0].fileno())
    assert received(poller) == []


@pytest.mark.parametrize("interest", INTERESTS)
def test_forgotten_descriptor_can_be_added_again(
    poller: Poller, pair: Pair, interest: Interest
) -> None:
    pair[1].send(b"a")
    poller.add(pair[0].fileno(), interest)
    poller.forget(pair[0].fileno())
    poller.add(pair[0].fileno(), READ)
    assert received(poller) == [pair[0].fileno()]


def test_one_descriptor_in_two_pollers_is_reported_by_each(
    poller: Poller, pair: Pair, backend: Backend
) -> None:
    other = backend.open()
    fd = pair[0].fileno()
    pair[1].send(b"a")
    poller.add(fd, READ)
    other.add(fd, READ)
    found = [received(poller), received(other)]
    other.close()
    assert found == [[fd], [fd]]


def test_pipe_is_reported_at_both_ends(poller: Poller) -> None:
    reader, writer = os.pipe()
    poller.add(reader, READ)
    poller.add(writer, WRITE)
    found = received(poller)
    os.write(writer, b"a")
    found += received(poller)
    for fd in (reader, writer):
        poller.forget(fd)
        os.close(fd)
    assert found == [writer, reader]
