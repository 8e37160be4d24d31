"""Peers that hung up are found without reading and without the poller."""

from __future__ import annotations

import select
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from mogpoll.system.hangups import hung_up, probe_often, sends_no_more
from tests.support.sockets import reset, tcp_pair
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection, ours first."""
    with tcp_pair() as pair:
        for end in pair:
            end.settimeout(PATIENCE_S)
        yield pair


def has_gone(near: socket.socket) -> bool:
    return hung_up([near.fileno()]) == {near.fileno()}


def test_peer_that_is_there(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert not has_gone(near)
    far.send(b"more")
    assert near.recv(10, socket.MSG_PEEK) == b"more"
    assert not has_gone(near)
    assert near.recv(10) == b"more"


def test_peer_that_sends_no_more_waits(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert sends_no_more([near.fileno(), -1]) == set()
    far.shutdown(socket.SHUT_WR)
    assert near.recv(10) == b""
    if hasattr(select, "POLLRDHUP"):
        assert sends_no_more([near.fileno(), -1]) == {near.fileno()}
    assert not has_gone(near)
    near.send(b"answer")
    assert far.recv(10) == b"answer"


@pytest.mark.parametrize("unread", [b"", b"last words"])
def test_peer_that_has_reset(pair: tuple[socket.socket, socket.socket], unread: bytes) -> None:
    near, far = pair
    if unread:
        far.send(unread)
        assert near.recv(20, socket.MSG_PEEK) == unread
    reset(far)
    wait_until(lambda: has_gone(near), "the reset is seen")


def test_peer_that_has_closed_resets_what_is_sent(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    far.close()
    assert near.recv(10) == b""
    assert not has_gone(near)
    near.send(b"answer")
    wait_until(lambda: has_gone(near), "the reset is seen")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system that forgets soon")
def test_peer_that_has_closed_is_found_by_probes(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    # So that the system drops the connection within a second, not a minute.
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 1)
    far.close()
    assert near.recv(10) == b""
    probe_often(near.fileno(), 1)
    wait_until(lambda: has_gone(near), "a probe is answered with a reset")


def test_descriptors_that_are_closed_or_no_sockets(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    number = near.fileno()
    near.close()
    with open("/dev/null", "rb") as file:
        assert hung_up([number, -1, file.fileno()]) == set()
        for fd in (number, -1, file.fileno()):
            probe_often(fd, 1)
        assert file.read() == b""
    assert hung_up([]) == set()


def test_many() -> None:
    pairs = [socket.socketpair() for _ in range(100)]
    try:
        for _, far in pairs[::3]:
            far.close()
        assert hung_up(near.fileno() for near, _ in pairs) == {
            near.fileno() for near, _ in pairs[::3]
        }
    finally:
        for near, far in pairs:
            near.close()
            far.close()
