"""Acceptors under test: start, stop with a time limit, inject errors, collect connections."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mogpoll import Acceptor, acceptor
from tests.support.threads import Running, may_be_asleep
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mogpoll.acceptor import AcceptCallback, PressureCallback


class Sink:
    """The connections that an acceptor passed on, in order."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self._arrived = threading.Condition()

    def take(self, connection: socket.socket, _address: object = None) -> None:
        with self._arrived:
            self.sockets.append(connection)
            self._arrived.notify_all()

    def wait_for(self, count: int) -> list[socket.socket]:
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.sockets) >= count, 20)
        assert arrived, f"{len(self.sockets)} of {count} connections were passed on"
        return self.sockets

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()


def close(connection: socket.socket, _address: object) -> None:
    connection.close()


def stop(running: Acceptor) -> None:
    """Stop it, and fail if `stop` does not return."""
    Running(running.stop).result()


@contextmanager
def accepting(
    listener: socket.socket,
    on_accept: AcceptCallback,
    on_pressure: PressureCallback | None = None,
) -> Iterator[Acceptor]:
    made = Acceptor(listener, on_accept, on_pressure=on_pressure, name="acceptor-under-test")
    made.start()
    try:
        yield made
    finally:
        stop(made)
    assert not made.is_alive()


def connect(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), 10)


def thread_of(name: str) -> threading.Thread:
    (found,) = [thread for thread in threading.enumerate() if thread.name == name]
    return found


def wait_until_accepting(name: str = "acceptor-under-test") -> None:
    wait_until(lambda: may_be_asleep(thread_of(name)), "the acceptor sleeps in accept")


class ScriptedAccept:
    """Replaces accept4: fails with the given errors, then calls the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: list[int]) -> None:
        self._errors = errors
        self._real = acceptor._accept4
        self.outcomes: list[int | None] = []
        monkeypatch.setattr(acceptor, "_accept4", self)

    def __call__(self, fd: int, peer: acceptor._Peer) -> int:
        try:
            if self._errors:
                number = self._errors.pop(0)
                raise OSError(number, os.strerror(number))
            accepted = self._real(fd, peer)
        except OSError as error:
            self.outcomes.append(error.errno)
            raise
        self.outcomes.append(None)
        return accepted
