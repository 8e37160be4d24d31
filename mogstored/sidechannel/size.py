"""`size PATH`: how large a file is, in bytes; -1 if there is none."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.devices.slots import READ
from mogstored.files.disk_errors import Attempt, report_reading
from mogstored.sidechannel.connection import SidechannelConnection
from mogstored.sidechannel.lookup import Target

if TYPE_CHECKING:
    from mogstored.service import Service


class Sizing:
    """A size that is asked for; it may wait for a slot of its device."""

    def __init__(self, service: Service, path: bytes) -> None:
        self._target = Target(service, path)

    def advance(self, connection: SidechannelConnection, _buffers: Buffers) -> Next:
        target = self._target
        if target.device.is_down and not connection.has_slot:
            # Slots of a disk that hangs are not to be waited for.
            return connection.answer(b"%b -1" % target.path)
        if not target.device.enter(connection, has_nothing=True):
            return Next.PARKED
        since = monotonic()
        try:
            size = target.size()
        except OSError as error:
            attempt = Attempt("read", "size", target.path.lstrip(b"/"), connection.peer())
            report_reading(error, target.device, attempt)
            size = -1
        finally:
            target.device.leave(READ, monotonic() - since)
        return connection.answer(b"%b %d" % (target.path, size))

    def abandon(self, _connection: SidechannelConnection) -> None:
        """Nothing is held."""
