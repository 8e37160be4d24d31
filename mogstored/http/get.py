"""GET and HEAD: from a path to the bytes of a regular file.

What was measured for the size of `_SMALL`: one read and one send of head and content
together beat a send of the head and a sendfile, because each system call costs more than
the copy of a few pages.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
from typing import TYPE_CHECKING

from mogpoll import Next, sendfile
from mogstored.connection import Workspace
from mogstored.http import failures, response
from mogstored.http.ranges import ByteRange, Span, is_whole, resolve
from mogstored.http.request import Request
from mogstored.storage.device import Device
from mogstored.storage.paths import is_climbing

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession
    from mogstored.service import Service

_log = logging.getLogger("mogstored")

_SMALL = 16 * 1024
# From this size on, the kernel is told that the file is read in order.
_SEQUENTIAL = 256 * 1024
# Other clients get their turn after so much of one file.
_TURN = 100 * 1024 * 1024

# Linux: keep the head until the first bytes of the file come along.
_MSG_MORE = getattr(socket, "MSG_MORE", 0)


def answer_head(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a HEAD as GET would, without the content."""
    path = request.path
    if not path:
        return _answer_root(session, request, keep_alive)
    if is_climbing(path):
        return session.answer(response.short(403, keep_alive), keep_alive)
    device = session.service.devices.of(path)
    if not device.try_enter(session):
        session.work = _Waiting(request, keep_alive)
        if not device.enter(session):
            return Next.PARKED
        session.work = None
    try:
        status = session.service.docroot.stat(path)
    except OSError as error:
        code = failures.status_of(error, failures.READ, path, "HEAD")
        return session.answer(response.short(code, keep_alive), keep_alive)
    finally:
        device.leave()
    if not stat.S_ISREG(status.st_mode):
        return session.answer(response.short(403, keep_alive), keep_alive)
    head, _ = _head(request.fields.range_, status.st_size, int(status.st_mtime), keep_alive)
    return session.answer(head, keep_alive)


def answer_get(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a GET."""
    path = request.path
    if not path:
        return _answer_root(session, request, keep_alive)
    if is_climbing(path):
        return session.answer(response.short(403, keep_alive), keep_alive)
    service = session.service
    device = service.devices.of(path)
    if not device.try_enter(session):
        session.work = _Waiting(request, keep_alive)
        if not device.enter(session):
            return Next.PARKED
        session.work = None
    try:
        try:
            fd = _open(service, path)
        except OSError as error:
            code = failures.status_of(error, failures.READ, path, "GET")
            return session.answer(response.short(code, keep_alive), keep_alive)
        return _send(session, request, keep_alive, fd, device)
    finally:
        device.leave()


def _open(service: Service, path: bytes) -> int:
    try:
        return service.docroot.open_read(path)
    except OSError as error:
        if error.errno not in failures.PRESSURE:
            raise
    service.clients.relieve()
    return service.docroot.open_read(path)


def _answer_root(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer the health probe: the root is an empty file from the beginning of time."""
    head, _ = _head(request.fields.range_, 0, 0, keep_alive)
    return session.answer(head, keep_alive)


def _head(
    asked: ByteRange | None, size: int, modified: int, keep_alive: bool
) -> tuple[bytes, Span]:
    """Return the head for a file, and the part of it that makes the content."""
    if asked is None or is_whole(asked, size):
        return response.whole(size, modified, keep_alive), Span(0, size)
    span = resolve(asked, size)
    if span is None:
        return response.unsatisfiable(size, keep_alive), Span(0, 0)
    return response.partial(span, size, modified, keep_alive), span


def _send(
    session: HTTPSession, request: Request, keep_alive: bool, fd: int, device: Device
) -> Next:
    """Send the open file `fd`, which is closed in the end; the caller holds a slot."""
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return session.answer(response.short(403, keep_alive), keep_alive)
        head, (first, size) = _head(
            request.fields.range_, status.st_size, int(status.st_mtime), keep_alive
        )
        if size <= _SMALL:
            content = os.pread(fd, size, first) if size else b""
            if len(content) == size:
                os.close(fd)
                return session.answer(head + content, keep_alive)
    except OSError as error:
        os.close(fd)
        code = failures.status_of(error, failures.READ, request.path, "GET")
        return session.answer(response.short(code, keep_alive), keep_alive)
    if size > _SEQUENTIAL and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, first, size, os.POSIX_FADV_SEQUENTIAL)
    span = Span(first, size)
    download = session.work = Download(request.path, fd, head, span, keep_alive, device)
    return download.pump(session)


class _Waiting:
    """A GET or HEAD that waits for a slot of its device."""

    def __init__(self, request: Request, keep_alive: bool) -> None:
        self._request = request
        self._keep_alive = keep_alive

    def advance(self, session: HTTPSession, _workspace: Workspace) -> Next:
        session.work = None
        answer = answer_get if self._request.method == b"GET" else answer_head
        return answer(session, self._request, self._keep_alive)

    def abandon(self) -> None:
        """Nothing is held."""


class Download:
    """A file on its way to a client, over as many steps as the client needs."""

    def __init__(
        self, path: bytes, fd: int, head: bytes, span: Span, keep_alive: bool, device: Device
    ) -> None:
        self._path = path
        self._fd = fd
        self._head = head
        self._offset, self._left = span
        self._keep_alive = keep_alive
        self._device = device

    def advance(self, session: HTTPSession, _workspace: Workspace) -> Next:
        if not self._device.enter(session):
            return Next.PARKED
        try:
            return self.pump(session)
        finally:
            self._device.leave()

    def pump(self, session: HTTPSession) -> Next:
        """Send what the socket takes; the caller holds a slot of the device."""
        turn = _TURN
        try:
            if self._head:
                self._head = self._head[session.sock.send(self._head, _MSG_MORE) :]
                if self._head:
                    return Next.WRITE
            while self._left and turn > 0:
                sent = sendfile(session.sock, self._fd, self._offset, min(self._left, turn))
                if not sent:
                    _log.error(
                        "/%s shrank while it was sent to %s: %d bytes are missing",
                        self._path.decode("ascii"),
                        session.peer(),
                        self._left,
                    )
                    return Next.CLOSE
                self._offset += sent
                self._left -= sent
                turn -= sent
        except BlockingIOError:
            return Next.WRITE
        if self._left:
            return Next.AGAIN
        self.abandon()
        return session.finish(self._keep_alive)

    def abandon(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
