"""Closed and half-closed peers are reported, and data before the end is not lost."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING

import pytest

from mogpoll import Event, Readiness
from tests.mogpoll.checks import BOTH, READ, WRITE, received
from tests.support.sockets import drain, fill, reset, stream_pair, tcp_pair, unused_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from mogpoll import Interest, Poller
    from tests.mogpoll.checks import Pair

EOF = Readiness.READABLE | Readiness.HANGUP

over_any_socket = pytest.mark.parametrize("make", [tcp_pair, stream_pair])


def arrive(sock: socket.socket) -> None:
    """Wait until the end of the connection has arrived."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    assert poll.poll(10_000)


def half_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


@over_any_socket
def test_n04_half_close_of_the_peer_is_reported_to_a_reader(
    poller: Poller, make: Callable[[], AbstractContextManager[Pair]]
) -> None:
    with make() as (near, far):
        poller.add(near.fileno(), READ)
        far.shutdown(socket.SHUT_WR)
        assert poller.wait(10) == Event(near.fileno(), EOF)


@over_any_socket
def test_n04_half_close_before_add_is_reported_too(
    poller: Poller, make: Callable[[], AbstractContextManager[Pair]]
) -> None:
    with make() as (near, far):
        far.shutdown(socket.SHUT_WR)
        arrive(near)
        poller.add(near.fileno(), READ)
        assert poller.wait(10) == Event(near.fileno(), EOF)


@over_any_socket
def test_n04_data_before_a_half_close_can_be_read(
    poller: Poller, make: Callable[[], AbstractContextManager[Pair]]
) -> None:
    with make() as (near, far):
        far.send(b"abc")
        far.shutdown(socket.SHUT_WR)
        poller.add(near.fileno(), READ)
        pieces = []
        for _ in range(2):
            poller.wait(10)
            pieces.append(near.recv(100))
            poller.rearm(near.fileno(), READ)
        assert pieces == [b"abc", b""]


def test_half_closed_peer_can_still_be_written_to(poller: Poller, pair: Pair) -> None:
    pair[1].shutdown(socket.SHUT_WR)
    fill(pair[0])
    poller.add(pair[0].fileno(), WRITE)
    before = received(poller)
    drain(pair[1])
    assert (before, poller.wait()) == ([], Event(pair[0].fileno(), Readiness.WRITABLE))


@over_any_socket
@pytest.mark.parametrize("interest", [READ, BOTH])
def test_end_of_file_is_reported_at_every_arming(
    poller: Poller, make: Callable[[], AbstractContextManager[Pair]], interest: Interest
) -> None:
    with make() as (near, far):
        far.shutdown(socket.SHUT_WR)
        arrive(near)
        poller.add(near.fileno(), interest)
        found = received(poller)
        poller.rearm(near.fileno(), interest)
        assert found + received(poller) == [near.fileno()] * 2


@over_any_socket
def test_close_of_the_peer_is_a_hangup_to_a_reader(
    poller: Poller, make: Callable[[], AbstractContextManager[Pair]]
) -> None:
    with make() as (near, far):
        poller.add(near.fileno(), READ)
        far.close()
        event = poller.wait(10)
        assert event is not None
        assert event.readiness & EOF == EOF


@over_any_socket
@pytest.mark.parametrize("interest", [READ, WRITE, BOTH])
def test_n04_nothing_is_reported_of_a_peer_that_goes_after_the_event(
    poller: Poller, make: Callable[[], AbstractContextManager[Pair]], interest: Interest
) -> None:
    """The owner has the descriptor; no other thread may get it."""
    with make() as (near, far):
        far.send(b"a")
        poller.add(near.fileno(), interest)
        poller.wait(10)
        drain(near)
        far.close()
        arrive(near)
        assert received(poller) == []


@pytest.mark.parametrize("interest", [READ, WRITE, BOTH])
def test_reset_is_a_hangup_and_its_owner_meets_the_end(poller: Poller, interest: Interest) -> None:
    """As an error, or as end of file if reporting has cleared the error."""
    with tcp_pair() as (near, far):
        reset(far)
        arrive(near)
        poller.add(near.fileno(), interest)
        event = poller.wait(10)
        assert event is not None
        assert event.readiness & Readiness.HANGUP
        with contextlib.suppress(ConnectionResetError):
            assert near.recv(1) == b""


def test_reset_of_an_armed_connection_is_reported(poller: Poller) -> None:
    with tcp_pair() as (near, far):
        poller.add(near.fileno(), READ)
        reset(far)
        event = poller.wait(10)
        assert event is not None
        assert event.readiness & Readiness.HANGUP


def test_hangup_is_one_event_to_both_directions(poller: Poller, pair: Pair) -> None:
    fill(pair[0])
    poller.add(pair[0].fileno(), BOTH)
    pair[1].close()
    assert received(poller) == [pair[0].fileno()]


def test_n32_shutdown_by_another_thread_is_reported_to_the_poller(poller: Poller) -> None:
    """So a thread that does not own a connection can expire it."""
    with tcp_pair() as (near, _):
        poller.add(near.fileno(), READ)
        near.shutdown(socket.SHUT_RDWR)
        event = poller.wait(10)
        assert event is not None
        assert (event.fd, near.recv(1)) == (near.fileno(), b"")


def test_finished_connect_is_reported_to_a_writer(poller: Poller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
        near.setblocking(False)
        near.connect_ex(listener.getsockname())
        poller.add(near.fileno(), WRITE)
        assert poller.wait(10) == Event(near.fileno(), Readiness.WRITABLE)


def test_refused_connect_is_a_hangup_to_a_writer(poller: Poller) -> None:
    """A port that is bound and does not listen need not refuse (n65)."""
    with socket.socket() as near:
        near.setblocking(False)
        near.connect_ex(("127.0.0.1", unused_port()))
        poller.add(near.fileno(), WRITE)
        event = poller.wait(10)
        assert event is not None
        assert event.readiness == Readiness.WRITABLE | Readiness.HANGUP


def test_connection_to_accept_is_reported_by_a_listener(poller: Poller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poller.add(listener.fileno(), READ)
        before = received(poller)
        with socket.create_connection(listener.getsockname(), 10):
            assert (before, poller.wait(10)) == ([], Event(listener.fileno(), Readiness.READABLE))


@over_any_socket
@pytest.mark.parametrize("interest", [READ, WRITE, BOTH])
@pytest.mark.parametrize("goes", [socket.socket.close, reset, half_close])
def test_n05_hangup_names_a_direction_that_was_armed(
    poller: Poller,
    make: Callable[[], AbstractContextManager[Pair]],
    interest: Interest,
    goes: Callable[[socket.socket], None],
) -> None:
    with make() as (near, far):
        goes(far)
        arrive(near)
        poller.add(near.fileno(), interest)
        event = poller.wait(10)
        assert event is not None
        assert event.readiness & interest


@pytest.mark.parametrize(
    ("end", "interest", "expected"),
    [(0, READ, EOF), (1, WRITE, Readiness.WRITABLE | Readiness.HANGUP)],
    ids=["reader", "writer"],
)
def test_n05_pipe_whose_other_end_goes_names_the_direction(
    poller: Poller, end: int, interest: Interest, expected: Readiness
) -> None:
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    with contextlib.suppress(BlockingIOError):
        while interest == WRITE:
            os.write(ends[1], bytes(65536))
    poller.add(ends[end], interest)
    before = received(poller)
    os.close(ends[1 - end])
    event = poller.wait(10)
    poller.forget(ends[end])
    os.close(ends[end])
    assert before == []
    assert event is not None
    assert event.readiness & expected == expected


def test_pipe_without_a_writer_is_a_hangup_behind_its_data(poller: Poller) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"abc")
    os.close(writer)
    poller.add(reader, READ)
    first = poller.wait(10)
    content = os.read(reader, 100)
    poller.rearm(reader, READ)
    second = poller.wait(10)
    poller.forget(reader)
    os.close(reader)
    assert first is not None
    assert second is not None
    assert first.readiness & Readiness.READABLE
    assert content == b"abc"
    assert second.readiness & EOF == EOF


def test_n05_n09_pipe_without_a_reader_can_be_added_and_is_a_hangup(poller: Poller) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    poller.add(writer, WRITE)
    event = poller.wait(10)
    poller.forget(writer)
    os.close(writer)
    assert event is not None
    assert event.readiness & Readiness.HANGUP
