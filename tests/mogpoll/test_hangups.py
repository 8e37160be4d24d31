"""Who has hung up, found out without reading and without the poller."""

from __future__ import annotations

import select
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from mogpoll import hangups
from mogpoll.hangups import hung_up
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# struct linger: on, for no time. Closing then resets.
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(params=["POLLRDHUP", "peek"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of finding out, where the system has both."""
    if request.param == "peek":
        monkeypatch.setattr(hangups, "_RDHUP", 0)
        monkeypatch.setattr(hangups, "_GONE", select.POLLHUP | select.POLLERR)
    elif not hasattr(select, "POLLRDHUP"):
        pytest.skip("poll(2) of this system has no POLLRDHUP")
    return str(request.param)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection, ours first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname(), 5)
        near, _ = listener.accept()
    near.setblocking(False)
    with near, far:
        yield near, far


def test_peer_that_is_there(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert hung_up([near.fileno()]) == set()
    far.send(b"more")
    select.select([near], [], [], 5)
    assert hung_up([near.fileno()]) == set()
    assert near.recv(10) == b"more"


def test_peer_that_has_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    far.close()
    wait_until(lambda: hung_up([near.fileno()]) == {near.fileno()}, "the end is seen")
    assert near.recv(10) == b""


def test_peer_that_has_reset(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    wait_until(lambda: hung_up([near.fileno()]) == {near.fileno()}, "the reset is seen")


def test_end_behind_unread_bytes(pair: tuple[socket.socket, socket.socket], way: str) -> None:
    near, far = pair
    far.send(b"last words")
    far.close()
    if way == "POLLRDHUP":
        wait_until(lambda: hung_up([near.fileno()]) == {near.fileno()}, "the end is seen")
    else:
        select.select([near], [], [], 5)
        assert hung_up([near.fileno()]) == set()
    assert near.recv(20) == b"last words"


def test_descriptors_that_are_closed_or_no_sockets(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    number = near.fileno()
    near.close()
    with open("/dev/null", "rb") as file:
        assert hung_up([number, -1, file.fileno()]) == set()
    assert hung_up([]) == set()


def test_many(pair: tuple[socket.socket, socket.socket]) -> None:
    pairs = [socket.socketpair() for _ in range(100)]
    try:
        for near, _ in pairs:
            near.setblocking(False)
        for _, far in pairs[::3]:
            far.close()
        assert hung_up(near.fileno() for near, _ in pairs) == {
            near.fileno() for near, _ in pairs[::3]
        }
    finally:
        for near, far in pairs:
            near.close()
            far.close()
