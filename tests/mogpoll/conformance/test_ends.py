"""Many threads, and peers that close or half-close: no data is lost, each end is reported.

Some connections are read byte by byte, re-armed for each by the thread that received the event,
after the peer has closed. The peers of others close while they are armed, or while a thread owns
them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import Readiness
from tests.mogpoll.checks import BOTH, INTERESTS, READ, WRITE, received
from tests.mogpoll.receivers import EVENTS, Owners, PausableReceivers, Receivers
from tests.support.sockets import drain, fill, reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Event, Interest, Poller
    from tests.mogpoll.checks import Pair

pytestmark = pytest.mark.usefixtures("restless")

SENT = b"abcd"
# One event a byte, and one for the end.
LIVES = EVENTS // (len(SENT) + 1)


class Readers:
    """Threads that read connections to their ends."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._open: dict[int, socket.socket] = {}
        self._far: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        self._owners = Owners()
        self._room = threading.Semaphore(100)
        self._left = LIVES
        self._lock = threading.Lock()
        self.receivers = Receivers(poller, self._play)
        self.read: list[bytes] = []

    def begin(self, pair: Pair) -> None:
        """Add a connection; its far end stays open until the near one is read to the end."""
        near, far = pair
        near.setblocking(False)
        fd = near.fileno()
        self._open[fd], self._far[fd], self._received[fd] = near, far, b""
        self._poller.add(fd, READ)

    def run(self, make: Callable[[], Pair]) -> None:
        def begin_all() -> None:
            for _ in range(LIVES):
                assert self._room.acquire(timeout=25)
                self.begin(make())

        self.receivers.run(begin_all)

    def _play(self, event: Event) -> None:
        fd = event.fd
        self._owners.take(fd)
        piece = b""
        with contextlib.suppress(ConnectionResetError):
            try:
                piece = self._open[fd].recv(1)
            except BlockingIOError:
                # Writable, while the data is still on its way.
                self._owners.release(fd)
                self._poller.rearm(fd, READ)
                return
        self._received[fd] += piece
        if piece:
            self._owners.release(fd)
            self._poller.rearm(fd, BOTH if piece == b"b" else READ)
        else:
            self._finish(fd)

    def _finish(self, fd: int) -> None:
        near, far = self._open.pop(fd), self._far.pop(fd)
        self.read.append(self._received.pop(fd))
        self._owners.release(fd)
        self._poller.forget(fd)
        near.close()
        far.close()
        self._room.release()
        with self._lock:
            self._left -= 1
            if not self._left:
                self.receivers.finish()


def half_closed() -> Pair:
    near, far = socket.socketpair()
    far.send(SENT)
    far.shutdown(socket.SHUT_WR)
    return near, far


def closed() -> Pair:
    near, far = socket.socketpair()
    far.send(SENT)
    far.close()
    return near, far


@pytest.mark.parametrize("make", [half_closed, closed])
def test_n04_what_was_sent_before_the_end_is_read_by_many_threads(
    poller: Poller, make: Callable[[], Pair]
) -> None:
    readers = Readers(poller)
    readers.run(make)
    assert readers.read == [SENT] * LIVES
    assert received(poller) == []


def test_n04_resets_are_met_once_each_by_many_threads(poller: Poller) -> None:
    readers = Readers(poller)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def was_reset() -> Pair:
            far = socket.create_connection(listener.getsockname(), 10.0)
            near, _ = listener.accept()
            far.send(SENT)
            reset(far)
            return near, far

        readers.run(was_reset)
    # Systems differ in how much data a reset leaves.
    assert len(readers.read) == LIVES
    assert all(SENT.startswith(read) for read in readers.read)
    assert received(poller) == []


class PeersThatClose:
    """Connections whose peers close, under each interest in turn."""

    def __init__(self, poller: Poller, count: int) -> None:
        self._poller = poller
        self.pairs: dict[int, Pair] = {}
        self.interests: dict[int, Interest] = {}
        for number in range(count):
            near, far = socket.socketpair()
            near.setblocking(False)
            self.pairs[near.fileno()] = near, far
            self.interests[near.fileno()] = INTERESTS[number % 3]

    def add_silent(self) -> None:
        """Arm them while they are neither readable nor writable."""
        for fd, (near, _) in self.pairs.items():
            if self.interests[fd] & WRITE:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                fill(near, bytes(512))
            self._poller.add(fd, self.interests[fd])

    def add_ready(self) -> None:
        for fd, (_, far) in self.pairs.items():
            far.send(b"a")
            self._poller.add(fd, self.interests[fd])

    def leave(self, fd: int) -> None:
        self.pairs[fd][1].close()

    def check_end(self, fd: int, event: Event) -> None:
        """The event names an armed direction, and HANGUP to a reader.

        Armed for WRITE alone, the socket is writable, although the peer is gone.
        """
        assert event.readiness & self.interests[fd]
        if self.interests[fd] & READ:
            assert event.readiness & Readiness.HANGUP
        # A reset, if the peer closed without reading.
        with contextlib.suppress(ConnectionResetError):
            assert self.pairs[fd][0].recv(1) == b""

    def close(self) -> None:
        for fd, (near, _) in self.pairs.items():
            self._poller.forget(fd)
            near.close()


def counted(events: dict[int, list[Event]]) -> dict[int, int]:
    return {fd: len(found) for fd, found in events.items()}


def test_n04_peers_that_leave_armed_connections_are_reported_once_each(poller: Poller) -> None:
    receivers = PausableReceivers(poller)

    def play_round(_number: int) -> None:
        peers = PeersThatClose(poller, 99)
        peers.add_silent()
        with receivers.paused() as events:
            assert events == {}
        for fd in peers.pairs:
            peers.leave(fd)
        with receivers.paused() as events:
            assert counted(events) == dict.fromkeys(peers.pairs, 1)
            for fd, (event,) in events.items():
                peers.check_end(fd, event)
            peers.close()

    receivers.play_rounds(play_round)
    assert received(poller) == []


def test_n04_peers_that_leave_owned_connections_make_no_second_owner(poller: Poller) -> None:
    """The hang-up is reported at the next arming: at once, or after all threads were served."""
    first: dict[int, Event] = {}
    rounds: list[PeersThatClose] = []

    def play(event: Event) -> None:
        fd = event.fd
        if first.setdefault(fd, event) is not event:
            return
        peers = rounds[-1]
        drain(peers.pairs[fd][0])
        peers.leave(fd)
        if fd % 4 < 2:
            poller.rearm(fd, peers.interests[fd])

    receivers = PausableReceivers(poller, play)

    def play_round(_number: int) -> None:
        first.clear()
        peers = PeersThatClose(poller, 99)
        rounds[:] = [peers]
        peers.add_ready()
        kept = [fd for fd in peers.pairs if fd % 4 >= 2]
        with receivers.paused() as events:
            before = counted(events)
            ends = {fd: found[1] for fd, found in events.items() if len(found) == 2}
            assert before == {fd: 1 if fd in kept else 2 for fd in peers.pairs}
        for fd in kept:
            poller.rearm(fd, peers.interests[fd])
        with receivers.paused() as events:
            assert counted(events) == dict.fromkeys(kept, 1)
            ends |= {fd: event for fd, (event,) in events.items()}
            for fd, event in ends.items():
                peers.check_end(fd, event)
            peers.close()

    receivers.play_rounds(play_round)
    assert received(poller) == []
