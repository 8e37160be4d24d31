"""DELETE removes a file; MKCOL makes nothing, and answers what trackers expect."""

from __future__ import annotations

from time import monotonic

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.devices.slots import DELETE
from mogstored.files.disk_errors import Attempt, NotMounted
from mogstored.files.names import sole_device
from mogstored.files.paths import is_climbing
from mogstored.http import room, statuses
from mogstored.http.connection import HTTPConnection, Work
from mogstored.http.message.request import Request


def answer_delete(connection: HTTPConnection, request: Request, keep_alive: bool) -> Next:
    """Answer a DELETE. Directories are never removed, nor links that are devices."""
    path = request.path
    status = 405 if connection.get_only else 403 if is_climbing(path) or not path else 0
    if not status and connection.service.devices.of(path).is_down:
        status = 500
    if status:
        return connection.answer_short(status, keep_alive)
    removal = connection.work = _Removal(connection, request, keep_alive)
    return removal.advance(connection)


def answer_mkcol(connection: HTTPConnection, request: Request, keep_alive: bool) -> Next:
    """Answer a MKCOL. After a 400 a tracker does not ask again; after a 405 it would."""
    status = 405 if connection.get_only else 403 if is_climbing(request.path) else 400
    return connection.answer_short(status, keep_alive)


class _Removal(Work):
    """A DELETE, which may wait for a slot of its device."""

    def __init__(self, connection: HTTPConnection, request: Request, keep_alive: bool) -> None:
        self.takes_interim = request.fields.takes_interim
        path = self._path = request.path
        self._keep_alive = keep_alive
        self._device = connection.service.devices.of(path)

    def advance(self, connection: HTTPConnection, _buffers: Buffers | None = None) -> Next:
        if not self._device.enter(connection, has_nothing=True):
            return Next.PARKED
        try:
            status = self._remove(connection)
        finally:
            self._device.leave(DELETE, monotonic() - connection.turn_at)
        connection.work = None
        return connection.answer_short(status, self._keep_alive)

    def _remove(self, connection: HTTPConnection) -> int:
        service = connection.service
        if self._device.is_down:
            return 500
        try:
            if service.is_unmounted(self._path):
                raise NotMounted
            if device := sole_device(self._path):
                return 403 if service.docroot.is_there(device) else 404
            service.docroot.unlink(self._path)
        except OSError as error:
            connection.errno = error.errno or 0
            attempt = Attempt("delete", "DELETE", self._path, connection.peer())
            return statuses.status_of(error, statuses.DELETE, self._device, attempt)
        self._device.note_change()
        room.note_removed(service, self._device)
        return 204
