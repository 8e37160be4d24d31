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


def answer_delete(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a DELETE; directories are never removed."""
    path = request.path
    status = 405 if session.get_only else 403 if is_climbing(path) or not path else 0
    if status:
        return session.answer(response.short(status, keep_alive), keep_alive)
    device = session.service.devices.of(path)
    session.work = _Waiting(request, keep_alive)
    if not device.enter(session):
        return Next.PARKED
    session.work = None
    try:
        session.service.docroot.unlink(path)
        status = 204
    except OSError as error:
        status = failures.status_of(error, failures.DELETE, path, "DELETE")
    finally:
        device.leave()
    return session.answer(response.short(status, keep_alive), keep_alive)


def answer_mkcol(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a MKCOL: 400 tells a tracker not to ask again, where 405 would not."""
    status = 405 if session.get_only else 403 if is_climbing(request.path) else 400
    return session.answer(response.short(status, keep_alive), keep_alive)


class _Waiting:
    """A DELETE that waits for a slot of its device."""

    def __init__(self, request: Request, keep_alive: bool) -> None:
        self._request = request
        self._keep_alive = keep_alive

    def advance(self, session: HTTPSession, _workspace: Workspace) -> Next:
        return answer_delete(session, self._request, self._keep_alive)

    def abandon(self) -> None:
        """Nothing is held."""
