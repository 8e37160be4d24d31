"""`watch`: the utilization of all devices, block after block, until the client leaves."""

from __future__ import annotations

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.sidechannel.connection import SidechannelConnection
from mogstored.utilization.watchers import Devices, Watchers


class Stream:
    """Sends blocks as they come, and ignores what the client sends."""

    def __init__(self, watchers: Watchers, devices: Devices) -> None:
        self._watchers = watchers
        self._devices = devices
        self._has_joined = False

    def advance(self, connection: SidechannelConnection, buffers: Buffers) -> Next:
        if not connection.flush():
            return Next.WRITE
        if not connection.ignore_input(buffers):
            return Next.CLOSE
        if not self._has_joined:
            self._has_joined = self._watchers.join(connection, self._devices)
            return Next.READ if self._has_joined else Next.CLOSE
        block = self._watchers.next_block(connection)
        if block is None or connection.send(block):
            return Next.READ
        # Too slow: it joins again when the rest is sent.
        self._has_joined = False
        self._watchers.suspend(connection)
        return Next.WRITE

    def abandon(self, connection: SidechannelConnection) -> None:
        """Leave the watchers."""
        self._watchers.leave(connection)
