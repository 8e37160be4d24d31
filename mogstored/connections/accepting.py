"""From a listener to connections in the pool, without the clients that are refused."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from mogpoll import Acceptor, WorkerPool
from mogstored.connections.access import Gate
from mogstored.connections.buffers import Buffers
from mogstored.connections.clients import Clients
from mogstored.connections.connection import Connection
from mogstored.connections.listeners import Listener

MakeConnection = Callable[[socket.socket], Connection]


def make_acceptor(
    listener: Listener,
    gate: Gate,
    make_connection: MakeConnection,
    clients: Clients,
    pool: WorkerPool[Connection, Buffers],
) -> Acceptor:
    return Acceptor(
        listener.sock,
        partial(_add, gate, make_connection, clients, pool),
        on_pressure=clients.relieve_accept,
        name=f"accept-{listener.kind}",
    )


def _add(
    gate: Gate,
    make_connection: MakeConnection,
    clients: Clients,
    pool: WorkerPool[Connection, Buffers],
    sock: socket.socket,
    address: Any,
) -> None:
    """Make the connection of an accepted socket, and add it to the pool, unless it is refused."""
    if not gate.admits(address[0]):
        sock.close()
        return
    connection = make_connection(sock)
    clients.note_opened(connection)
    try:
        pool.add(connection)
    except BaseException:
        connection.close()
        raise
