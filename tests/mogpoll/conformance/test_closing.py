"""Descriptors that are closed, and numbers that are reused."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from mogpoll import AlreadyRegistered, NotRegistered
from tests.mogpoll.checks import INTERESTS, READ, WRITE, received
from tests.support.descriptors import open_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogpoll import Interest, Poller
    from tests.mogpoll.backends import Backend


class Number:
    """A descriptor number that can be given to one socket after another."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        self.fd = near.detach()
        self._is_open = True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.fd)
            self.far.close()

    def renew(self) -> None:
        """Close, and reuse the number for another socket."""
        self.close()
        near, self.far = socket.socketpair()
        if near.fileno() == self.fd:
            near.detach()
        else:
            os.dup2(near.fileno(), self.fd)
            near.close()
        self._is_open = True


@pytest.fixture
def number() -> Iterator[Number]:
    made = Number()
    yield made
    made.close()


@pytest.mark.parametrize("interest", [READ, WRITE])
def test_n07_closed_descriptor_is_silent(
    poller: Poller, number: Number, interest: Interest
) -> None:
    poller.add(number.fd, interest)
    number.far.send(b"a")
    number.close()
    assert received(poller) == []


def test_n07_closed_descriptor_can_be_forgotten(poller: Poller, number: Number) -> None:
    poller.add(number.fd, READ)
    number.close()
    poller.forget(number.fd)
    assert received(poller) == []


@pytest.mark.parametrize("reused", [True, False])
@pytest.mark.parametrize("was_received", [True, False])
def test_number_that_was_not_forgotten_cannot_be_added(
    poller: Poller, number: Number, reused: bool, was_received: bool
) -> None:
    number.far.send(b"a")
    poller.add(number.fd, READ)
    if was_received:
        poller.wait()
    number.close()
    if reused:
        number.renew()
    with pytest.raises(AlreadyRegistered):
        poller.add(number.fd, READ)


def test_number_that_was_not_forgotten_cannot_be_added_for_a_file(
    poller: Poller, number: Number
) -> None:
    poller.add(number.fd, READ)
    with open(__file__, "rb") as file:
        os.dup2(file.fileno(), number.fd)
    with pytest.raises(AlreadyRegistered):
        poller.add(number.fd, READ)


@pytest.mark.parametrize("interest", INTERESTS)
@pytest.mark.parametrize("was_received", [True, False])
def test_n07_rearming_a_number_that_has_another_file_differs(
    backend: Backend, poller: Poller, number: Number, interest: Interest, was_received: bool
) -> None:
    """epoll keys on the file and refuses the number; kqueue keys on the number."""
    poller.add(number.fd, interest)
    number.far.send(b"a")
    if was_received:
        poller.wait()
    number.renew()
    if backend.name == "epoll":
        with pytest.raises(NotRegistered):
            poller.rearm(number.fd, READ)
    else:
        poller.rearm(number.fd, READ)
    found = received(poller)
    number.far.send(b"b")
    expected = [] if backend.name == "epoll" else [number.fd]
    assert [found, received(poller)] == [[], expected]


@pytest.mark.parametrize("interest", INTERESTS)
@pytest.mark.parametrize("forget_first", [True, False], ids=["before", "after"])
def test_n07_forgotten_number_begins_anew(
    poller: Poller, number: Number, interest: Interest, forget_first: bool
) -> None:
    number.far.send(b"a")
    poller.add(number.fd, interest)
    if forget_first:
        poller.forget(number.fd)
    number.renew()
    if not forget_first:
        poller.forget(number.fd)
    poller.add(number.fd, READ)
    found = received(poller)
    number.far.send(b"b")
    assert [found, received(poller)] == [[], [number.fd]]


def test_n07_many_lives_of_one_number(poller: Poller, number: Number) -> None:
    for life in range(50):
        poller.add(number.fd, INTERESTS[life % 3])
        number.far.send(b"a")
        assert received(poller) == [number.fd]
        if life % 2:
            poller.rearm(number.fd, INTERESTS[life % 3])
        poller.forget(number.fd)
        number.renew()
    assert received(poller) == []


def test_thousand_descriptors_at_once(poller: Poller) -> None:
    ends = [end for _ in range(400) for end in socket.socketpair()]
    for end in ends:
        poller.add(end.fileno(), WRITE)
    found = received(poller)
    for end in ends:
        poller.forget(end.fileno())
    expected = sorted(end.fileno() for end in ends)
    for end in ends:
        end.close()
    assert sorted(found) == expected


def test_poller_leaves_no_descriptor_behind(
    poller: Poller, number: Number, backend: Backend
) -> None:
    before = open_numbers()
    other = backend.open()
    other.add(number.fd, WRITE)
    other.wait()
    other.forget(number.fd)
    other.close()
    assert open_numbers() == before
