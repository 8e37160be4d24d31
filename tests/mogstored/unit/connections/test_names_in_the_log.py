"""A line of the log names a connection by its protocol and its client."""

from __future__ import annotations

import socket
from unittest.mock import Mock

from mogstored.sidechannel.commands import SidechannelSession


def test_connection_is_named_by_its_client() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        host, port = client.getsockname()
        connection = SidechannelSession(accepted, Mock())
        assert f"{connection!r}" == f"SidechannelSession from {host}:{port}"


def test_closed_connection_is_named_without_a_client() -> None:
    sock = socket.socket()
    sock.close()
    assert f"{SidechannelSession(sock, Mock())!r}" == "SidechannelSession from unknown peer"
