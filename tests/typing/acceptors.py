"""Acceptors and the callbacks that they accept."""

from __future__ import annotations

import socket
from typing import assert_type

from mogpoll import Acceptor, Next, WorkerPool, install_poke_handler, open_poller


class Connection:
    def __init__(self, connection: socket.socket) -> None:
        self.fileno, self.close = connection.fileno, connection.close

    def step(self, _workspace: None) -> Next:
        return Next.CLOSE


def relieve(error: OSError) -> bool:
    return error.errno == 24


def acceptor_that_feeds_a_pool(listener: socket.socket) -> None:
    pool = WorkerPool(open_poller(), 4)

    def take(connection: socket.socket, address: tuple[str, int]) -> None:
        pool.add(Connection(connection))

    install_poke_handler()
    acceptor = Acceptor(listener, take, on_pressure=relieve, name="acceptor")
    acceptor.start()
    assert_type(acceptor.is_alive(), bool)
    acceptor.stop()
    acceptor.stop(last_call=128)
    with Acceptor(listener, take) as entered:
        assert_type(entered, Acceptor)


def acceptor_with_lambdas(listener: socket.socket) -> Acceptor:
    return Acceptor(
        listener, lambda connection, _: connection.close(), on_pressure=lambda _: False
    )


def refused(listener: socket.socket) -> None:
    def take(connection: socket.socket, address: object) -> None: ...

    def take_without_address(connection: socket.socket) -> None: ...

    Acceptor(listener)  # type: ignore[call-arg]
    Acceptor(listener.fileno(), take)  # type: ignore[arg-type]
    Acceptor(listener, take_without_address)  # type: ignore[arg-type]
    Acceptor(listener, relieve)  # type: ignore[arg-type]
    Acceptor(listener, lambda fd, _: len(fd))  # type: ignore[arg-type]
    Acceptor(listener, take, on_pressure=print)  # type: ignore[arg-type]
    Acceptor(listener, take, relieve)  # type: ignore[call-arg]
    Acceptor(listener, take).stop(128)  # type: ignore[call-arg]
