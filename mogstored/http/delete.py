"""DELETE removes a file; MKCOL never makes a directory, and says so as trackers expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mogpoll import Next
from mogstored.connection import Workspace
from mogstored.http import failures, response
from mogstored.http.request import Request
from mogstored.storage.paths import is_climbing

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession
    from mogstored.service import Service


def answer_delete(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a DELETE; directories are never removed."""
    path = request.path
    status = 405 if session.get_only else 403 if is_climbing(path) or not path else 0
    if status:
        return session.answer(response.short(status, keep_alive), keep_alive)
    removal = session.work = _Removal(session, path, keep_alive)
    return removal.advance(session)


def answer_mkcol(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a MKCOL: 400 tells a tracker not to ask again, where 405 would not."""
    status = 405 if session.get_only else 403 if is_climbing(request.path) else 400
    return session.answer(response.short(status, keep_alive), keep_alive)


class _Removal:
    """A DELETE, which may have to wait for a slot of its device."""

    def __init__(self, session: HTTPSession, path: bytes, keep_alive: bool) -> None:
        self._path = path
        self._keep_alive = keep_alive
        self._device = session.service.devices.of(path)

    def advance(self, session: HTTPSession, _workspace: Workspace | None = None) -> Next:
        if not self._device.enter(session, has_nothing=True):
            return Next.PARKED
        try:
            status = self._remove(session.service)
        finally:
            self._device.leave()
        session.work = None
        return session.answer(response.short(status, self._keep_alive), self._keep_alive)

    def abandon(self) -> None:
        """Nothing is held."""

    def _remove(self, service: Service) -> int:
        if service.is_unmounted(self._path):
            return 500
        try:
            service.docroot.unlink(self._path)
        except OSError as error:
            return failures.status_of(error, failures.DELETE, self._path, "DELETE")
        service.note_change(self._path)
        return 204
