"""What becomes of an accepted socket: a connection in the pool, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mogstored.connections import accepting
from tests.support.sockets import stream_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


class Rig:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.gate, self.make, self.clients, self.pool = Mock(), Mock(), Mock(), Mock()
        self.connection: Any = self.make.return_value

    def accept(self) -> None:
        address = ("10.0.0.7", 9)
        accepting._add(self.gate, self.make, self.clients, self.pool, self.sock, address)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with stream_pair() as (ours, _):
        yield Rig(ours)


def test_client_that_is_admitted_is_counted_and_added(rig: Rig) -> None:
    rig.accept()
    rig.gate.admits.assert_called_once_with("10.0.0.7")
    rig.make.assert_called_once_with(rig.sock)
    rig.clients.note_opened.assert_called_once_with(rig.connection)
    rig.pool.add.assert_called_once_with(rig.connection)
    assert not rig.connection.close.called


def test_client_that_is_refused_is_closed_at_once(rig: Rig) -> None:
    rig.gate.admits.return_value = False
    rig.accept()
    assert rig.sock.fileno() == -1
    assert not rig.make.called


def test_connection_that_the_pool_does_not_take_is_closed(rig: Rig) -> None:
    rig.pool.add.side_effect = OSError("no room in the queue")
    with pytest.raises(OSError, match="no room"):
        rig.accept()
    rig.connection.close.assert_called_once_with()
