"""Whether there is room for a body: a device keeps `min_free`, from what is in memory.

A file that replaces another one needs room beside it. Where the room is not known, because nothing
has looked at the device yet, the file system itself has the last word.
"""

from __future__ import annotations

import logging

from mogstored.config.values.free_space import MinFree
from mogstored.devices.device import Device
from mogstored.devices.space import Space
from mogstored.http.connection import HTTPConnection
from mogstored.http.message.request import BadRequest
from mogstored.log.rate_limit import KeyedRateLimiter, more
from mogstored.service import Service

_log = logging.getLogger("mogstored")

# With less room beyond `min_free`, a device is looked at often while files are stored.
_TIGHT = 1024**3

_lines: KeyedRateLimiter[str] = KeyedRateLimiter(interval_s=10.0)


class Claim:
    """The room for one upload of `size` bytes; None if the client has not said how many.

    **Threads:** its owner's.
    """

    __slots__ = ("_connection", "_device", "_left", "_min_free", "_path", "_space")

    def __init__(
        self,
        connection: HTTPConnection,
        device: Device,
        path: bytes,
        size: int | None,
        min_free: MinFree,
    ) -> None:
        """**Raises:** `BadRequest` if there is no room; nothing is claimed then."""
        self._connection = connection
        self._device = device
        self._path = path
        self._min_free = min_free
        self._space: Space = device.usage.space
        self._left = size
        room = self._space.promise(size or 0, min_free)
        if not _judge(connection.service, device, room):
            raise _refusal(connection, device, path, min_free)

    def note(self, size: int) -> None:
        """Count bytes that are about to be written.

        **Raises:** `BadRequest` if there is no room for so many.
        """
        if self._left is not None:
            self._left -= size
            self._space.keep(size)
            return
        room = self._space.take(size, self._min_free)
        if not _judge(self._connection.service, self._device, room):
            raise _refusal(self._connection, self._device, self._path, self._min_free)

    def release(self) -> None:
        """Give up what will not come. Harmless when repeated."""
        left, self._left = self._left, 0
        if left:
            self._space.release(left)


def claim(
    connection: HTTPConnection, device: Device, path: bytes, size: int | None
) -> Claim | None:
    """Claim room for an upload; None if nothing has to stay free.

    **Raises:** `BadRequest` with the status 507.
    """
    min_free = connection.service.min_free
    return None if min_free is None else Claim(connection, device, path, size, min_free)


def take(connection: HTTPConnection, device: Device, path: bytes, size: int) -> None:
    """Count a whole body as stored.

    **Raises:** `BadRequest` with the status 507.
    """
    service = connection.service
    min_free = service.min_free
    if min_free is None:
        return
    if not _judge(service, device, device.usage.space.take(size, min_free)):
        raise _refusal(connection, device, path, min_free)


def note_removed(service: Service, device: Device) -> None:
    """Have a device looked at soon, on which a file was removed, if it is nearly full."""
    if service.min_free is not None:
        _judge(service, device, device.usage.space.take(0, service.min_free))


def _judge(service: Service, device: Device, room: int | None) -> bool:
    """Say whether there was room; have the device looked at if there is little."""
    if room is None:
        return True
    if room < _TIGHT and service.inventory is not None:
        service.inventory.look_soon(device)
    return room >= 0


def _refusal(
    connection: HTTPConnection, device: Device, path: bytes, min_free: MinFree
) -> BadRequest:
    """Log that a body was refused, at times; return the answer."""
    if (skipped := _lines.skipped(device.path)) is not None:
        peer, name = connection.peer(), path.decode("ascii")
        _log.warning(
            "PUT /%s from %s refused: %s must keep %s free, and has %d MiB%s",
            *(name, peer, device, min_free, device.usage.space.available() >> 20),
            more(skipped, " of this device"),
            extra={
                "device": device.label,
                "path": f"/{name}",
                "client": peer,
                "operation": "write",
            },
        )
    return BadRequest("min_free", 507)
