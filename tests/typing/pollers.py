"""Pollers, wakers, events and their errors."""

from __future__ import annotations

import socket
from typing import assert_type

from mogpoll import (
    AlreadyRegistered,
    BouncingWaker,
    EpollPoller,
    Event,
    Interest,
    KqueuePoller,
    NotPollable,
    Poller,
    PollError,
    Readiness,
    Waker,
    copy_file,
    last_data_received_ms,
    lowered_io_priority,
    open_poller,
    sendfile,
    silence_ms,
)


def every_backend_is_a_poller() -> list[Poller]:
    return [open_poller(), EpollPoller(), KqueuePoller()]


def loop(poller: Poller, sock: socket.socket) -> bool:
    poller.add(sock.fileno(), Interest.READ)
    event = poller.wait(0.5)
    assert_type(event, Event | None)
    if event is None:
        return False
    fd, readiness = event
    assert_type(fd, int)
    assert_type(readiness, Readiness)
    poller.rearm(fd, Interest.READ | Interest.WRITE)
    poller.rearm(sock, Interest.READ)
    poller.forget(event.fd)
    with open_poller() as other:
        assert_type(other, Poller)
        other.add(sock, Interest.READ)
        other.forget(sock)
    poller.close()
    return bool(event.readiness & Readiness.HANGUP)


def interests_combine_to_an_interest() -> None:
    assert_type(Interest.READ | Interest.WRITE, Interest)
    assert_type(Readiness.READABLE | Readiness.HANGUP, Readiness)


def wakers(poller: Poller) -> None:
    waker: Waker = BouncingWaker()
    assert_type(waker.attach(poller), int)
    waker.wake()
    waker.receive(poller)
    Waker(pipe=True).close()


def errors(poller: Poller) -> int | None:
    """Each is an OSError, and one class is the base of all."""
    try:
        poller.add(0, Interest.READ)
    except (AlreadyRegistered, NotPollable) as error:
        base: PollError = error
        return base.errno
    return None


def system(connection: socket.socket, fd: int) -> None:
    with lowered_io_priority():
        assert_type(sendfile(connection, fd, 0, 4096), int)
        assert_type(copy_file(connection, fd, 0, 4096), int)
    assert_type(last_data_received_ms(connection), int | None)
    assert_type(silence_ms(connection), int | None)


class Half:
    """No poller: some methods are missing."""

    def add(self, fd: int, interest: Interest) -> None: ...

    def wait(self, timeout_s: float | None = None) -> Event | None: ...


def refused(poller: Poller, sock: socket.socket) -> None:
    poller.add("3", Interest.READ)  # type: ignore[arg-type]
    poller.add(sock.fileno(), Readiness.READABLE)  # type: ignore[arg-type]
    poller.add(sock.fileno(), 1)  # type: ignore[arg-type]
    poller.rearm(sock.fileno())  # type: ignore[call-arg]
    poller.wait("1")  # type: ignore[arg-type]
    _fd = poller.wait().fd  # type: ignore[union-attr]
    sendfile(sock.fileno(), 3, 0, 1)  # type: ignore[arg-type]
    Waker(True)  # type: ignore[call-arg]
    incomplete: Poller = Half()  # type: ignore[assignment]
    incomplete.close()
