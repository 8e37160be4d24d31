"""GET and HEAD: from a path to the bytes of a regular file.

Small files are read and sent together with their head; larger ones follow their head by
sendfile. Measured, processor time of the first way against the second: 0.80 at 4 KiB, 0.90
at 16 KiB, 1.04 at 32 KiB, 1.10 at 64 KiB.
"""

from __future__ import annotations

import errno
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
from mogstored.storage.open_files import OpenFile, may_be_kept
from mogstored.storage.paths import is_climbing

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession
    from mogstored.storage.usage import UsageRecord

_log = logging.getLogger("mogstored")

SMALL = 16 * 1024
# From this size on, the kernel is told that the file is read in order.
_SEQUENTIAL = 256 * 1024
# Nanoseconds in a second; the float of seconds would round up just before the next one.
NS = 10**9

# What is no longer than this is sent in one turn, as far as the socket takes it: other clients do
# not wait long, and each turn costs some 15 us.
_SHORT = 16 * 1024 * 1024
# Of more long downloads than _FEW, each goes in small turns. In large ones a socket gets what its
# buffer has room for; the kernel enlarges the buffers of those that got more, and of 64 downloads
# at once the slowest had 0.2 to 0.6 of the mean. With these it has 0.9 and more;
# docs/performance.md has the table.
_TURN = 128 * 1024
# Fewer share no worse than their clients' networks do, and gain by large turns.
_FEW = 8
# The long downloads of this process. Touched by single operations; a length that is a little old
# makes a turn too large or too small.
_long_ones: set[Download] = set()

# Linux: keep the head until the first bytes of the file come along.
MSG_MORE = getattr(socket, "MSG_MORE", 0)


def answer(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer a GET, or a HEAD as if it were one but without the content.

    A HEAD opens the file too: what cannot be read must not look like a good copy.
    """
    path = request.path
    if not path:
        return _answer_root(session, request, keep_alive)
    if is_climbing(path):
        return session.answer(response.short(403, keep_alive), keep_alive)
    book = session.service.book
    try:
        record = None if book is None else book.record_at(path)
    except TimeoutError:
        # Trackers try another device, if they are told at once.
        return session.answer(response.short(500, keep_alive), keep_alive)
    if record is not None:
        return _answer_usage(session, request, record, keep_alive)
    device = session.service.devices.of(path)
    if device.try_enter(session):
        return _answer_inside(session, request, keep_alive, device)
    waiting = session.work = _Waiting(request, keep_alive, device)
    return waiting.advance(session)


def _answer_inside(
    session: HTTPSession, request: Request, keep_alive: bool, device: Device
) -> Next:
    """Answer with a slot of the device, which is left in the end."""
    service, path = session.service, request.path
    try:
        if service.is_unmounted(path):
            return session.answer(response.short(500, keep_alive), keep_alive)
        try:
            fd = service.clients.retried(lambda: service.docroot.open_read(path))
        except OSError as error:
            code = failures.status_of(error, failures.READ, path, request.method.decode())
            return session.answer(response.short(code, keep_alive), keep_alive)
        return _send(session, request, keep_alive, fd, device)
    finally:
        device.leave()


def _answer_root(session: HTTPSession, request: Request, keep_alive: bool) -> Next:
    """Answer the health probe: the root is an empty file from the beginning of time."""
    head, _ = _head(request.fields.range_, 0, 0, keep_alive)
    return session.answer(head, keep_alive)


def _answer_usage(
    session: HTTPSession, request: Request, record: UsageRecord, keep_alive: bool
) -> Next:
    """Answer with a usage record as if it were a file."""
    text = record.text()
    head, span = _head(request.fields.range_, len(text), record.time, keep_alive)
    if request.method == b"GET":
        head += text[span.first : span.first + span.size]
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
    content = None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(errno.EACCES, "not a regular file")
        head, (first, size) = _head(
            request.fields.range_, status.st_size, status.st_mtime_ns // NS, keep_alive
        )
        if request.method == b"HEAD":
            size = 0
        if size <= SMALL:
            content = os.pread(fd, size, first) if size else b""
    except OSError as error:
        os.close(fd)
        code = failures.status_of(error, failures.READ, request.path, "GET")
        return session.answer(response.short(code, keep_alive), keep_alive)
    if content is not None and len(content) == size:
        if request.method == b"GET":
            _keep_open(session, request.path, fd, status)
        else:
            # Trackers look at every file there is, and would take the place of what is read.
            os.close(fd)
        return session.answer(head + content, keep_alive)
    if size > _SEQUENTIAL and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, first, size, os.POSIX_FADV_SEQUENTIAL)
    file = OpenFile(fd, status) if may_be_kept(status) else None
    span = Span(first, size)
    download = session.work = Download(request.path, fd, head, span, keep_alive, device, file)
    return download.pump(session)


def _keep_open(session: HTTPSession, path: bytes, fd: int, status: os.stat_result) -> None:
    """Keep the file at hand for the next reader, or close it."""
    if may_be_kept(status):
        session.service.open_files.give(path, OpenFile(fd, status))
    else:
        os.close(fd)


class _Waiting:
    """A GET or HEAD that waits for a slot of its device."""

    def __init__(self, request: Request, keep_alive: bool, device: Device) -> None:
        self._request = request
        self._keep_alive = keep_alive
        self._device = device

    def advance(self, session: HTTPSession, _workspace: Workspace | None = None) -> Next:
        if not self._device.enter(session, has_nothing=True):
            return Next.PARKED
        session.work = None
        return _answer_inside(session, self._request, self._keep_alive, self._device)

    def abandon(self) -> None:
        """Nothing is held."""


class Download:
    """A file on its way to a client, over as many steps as the client needs."""

    def __init__(
        self,
        path: bytes,
        fd: int,
        head: bytes,
        span: Span,
        keep_alive: bool,
        device: Device,
        file: OpenFile | None = None,
    ) -> None:
        self._path = path
        self._fd = fd
        # Given back for the next reader in the end, instead of closed.
        self._file = file
        self._head = head
        self._offset, self._left = span
        if self._left > _SHORT:
            _long_ones.add(self)
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
        turn = _TURN if len(_long_ones) > _FEW and self in _long_ones else _SHORT
        try:
            if self._head:
                self._head = self._head[session.sock.send(self._head, MSG_MORE) :]
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
        except OSError:
            # The client has gone. Closing a file can hang as well: not without a slot.
            self.abandon()
            raise
        if self._left:
            return Next.AGAIN
        if self._file is not None:
            self._fd = -1
            _long_ones.discard(self)
            session.service.open_files.give(self._path, self._file)
        else:
            self.abandon()
        return session.finish(self._keep_alive)

    def abandon(self) -> None:
        """Close the file."""
        _long_ones.discard(self)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
