"""Many threads and peers that go, half or whole: nothing that was sent is lost, each end is met.

Each connection is read byte by byte, armed again for each, by whichever thread is told. The
peer has gone before the first byte is read.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.mogpoll.conformance.crowds import EVENTS, Crowd, Owners
from tests.mogpoll.conformance.looks import BOTH, READ, told
from tests.support.sockets import reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll import Event, Poller
    from tests.mogpoll.conformance.looks import Pair

pytestmark = pytest.mark.usefixtures("restless")

SENT = b"abcd"
# Each byte is an event, and so is the end.
LIVES = EVENTS // (len(SENT) + 1)


class Readers:
    """A crowd that reads connections to their ends."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._open: dict[int, socket.socket] = {}
        self._far: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        self._owners = Owners()
        self._room = threading.Semaphore(100)
        self._left = LIVES
        self._lock = threading.Lock()
        self.crowd = Crowd(poller, self._play)
        self.read: list[bytes] = []

    def begin(self, pair: Pair) -> None:
        """Take on a connection; the far end is kept open until the near one is at its end."""
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

        self.crowd.run(begin_all)

    def _play(self, event: Event) -> None:
        fd = event.fd
        self._owners.take(fd)
        piece = b""
        with contextlib.suppress(ConnectionResetError):
            try:
                piece = self._open[fd].recv(1)
            except BlockingIOError:
                # A socket with room, while what was sent is still on its way.
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
                self.crowd.finish()


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
    assert told(poller) == []


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
    # What a reset leaves of the bytes before it is the system's affair.
    assert len(readers.read) == LIVES
    assert all(SENT.startswith(read) for read in readers.read)
    assert told(poller) == []
