"""GET and HEAD: from a path to the bytes of a regular file.

A small file is read and sent together with its head; a larger one follows its head by
sendfile. Processor time of the first way to the second, measured: 0.80 at 4 KiB, 0.90 at
16 KiB, 1.04 at 32 KiB, 1.10 at 64 KiB.

A file that was read lately is often in memory (`mogstored.files.recent_files`): then one
`stat`, which shows that it has not changed, replaces open, fstat, read and close.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from time import monotonic

from mogpoll import FileError, Next, copy_file, sendfile
from mogstored.connections.buffers import Buffers, Known
from mogstored.connections.time_limits import Wait
from mogstored.devices.device import Device
from mogstored.devices.slots import READ, TURN_S
from mogstored.devices.usage import UsageRecord
from mogstored.files.disk_errors import Attempt, NotMounted, report, report_shrunk
from mogstored.files.docroot import close_read
from mogstored.files.paths import is_climbing
from mogstored.files.recent_files import MAX_CONTENT, RecentFile, is_settled
from mogstored.http import statuses
from mogstored.http.connection import SMALL, HTTPConnection, Work
from mogstored.http.message import response
from mogstored.http.message.dates import date_now
from mogstored.http.message.ranges import ByteRange, Span, is_whole, resolve
from mogstored.http.message.request import Request

# From this size on, the kernel gets the advice that the file is read in order.
_SEQUENTIAL = 256 * 1024
# Nanoseconds in a second. A float of seconds rounds up just before the next second.
_NS = 10**9

# Up to this size a file is sent in one turn, as far as the socket takes it: other clients do not
# wait long, and each turn costs some 15 us.
_SHORT = 16 * 1024 * 1024
# Sent by one call; between two calls, the turn may end because its time is over.
_PIECE = 1024 * 1024
# With more long downloads than _FEW, each goes in small turns. In a large turn a socket gets what
# its buffer has room for; the kernel enlarges the buffers of the sockets that got more, and of 64
# downloads at once the slowest had 0.2 to 0.6 of the mean. In small turns it has 0.9 and more;
# docs/performance.md has the table.
_TURN = 128 * 1024
# So few share as fairly as their clients' networks do, and gain by large turns.
_FEW = 8
# The long downloads of this process. Used by single operations; a stale length makes one turn too
# large or too small.
_long_ones: set[Download] = set()

# Linux: hold the head back until the first bytes of the file follow.
_MSG_MORE = getattr(socket, "MSG_MORE", 0)


def answer_again(
    connection: HTTPConnection, request: Request, keep_alive: bool, known: Known
) -> Next:
    """Answer a plain GET whose `device` is known, and whose `file` may be one read lately."""
    file, device = request.file, request.device
    if device is None or not device.name:
        # It may be listed by now.
        device = request.device = known.device_of(request.path, connection.service.devices)
    if file is None or file.until < connection.turn_at:
        # Another thread may have read it again.
        file = request.file = connection.service.recent_files.get(request.path)
        if file is None or file.until < connection.turn_at:
            return answer(connection, request, keep_alive, known)
    if keep_alive and not device.is_down and device.try_enter(connection):
        try:
            verdict = _answer_again(connection, request.path, file, device)
        finally:
            # The time of the answer, if it was sent.
            now = connection.active_at if connection.request is None else monotonic()
            device.leave(READ, now - connection.turn_at)
        if verdict is not None:
            return verdict
    return answer(connection, request, keep_alive, known)


def answer(connection: HTTPConnection, request: Request, keep_alive: bool, known: Known) -> Next:
    """Answer a GET, or a HEAD in the same way but without the content.

    A HEAD opens the file too: what cannot be read must not look like a good copy.
    """
    service, path = connection.service, request.path
    if not path:
        return _answer_root(connection, request, keep_alive)
    if is_climbing(path):
        return connection.answer_short(403, keep_alive)
    inventory = service.inventory
    try:
        record = None if inventory is None else inventory.record_at(path)
    except OSError:
        # The device hangs or fails. A tracker that gets an error at once tries another one.
        return connection.answer_short(500, keep_alive)
    if record is not None:
        return _answer_usage(connection, request, record, keep_alive)
    device = known.device_of(path, service.devices)
    if device.is_down:
        return connection.answer_short(500, keep_alive)
    if device.try_enter(connection):
        return _answer_inside(connection, request, keep_alive, device)
    waiting = connection.work = _Waiting(request, keep_alive, device)
    return waiting.advance(connection)


def _answer_again(
    connection: HTTPConnection, path: bytes, file: RecentFile, device: Device
) -> Next | None:
    """Answer a plain GET of a file that was read lately; the caller holds a slot.

    Return None, with nothing sent, if the file has changed or cannot be read now.
    """
    docroot, content = connection.service.docroot, file.content
    if content is not None:
        try:
            status = docroot.stat(path)
        except OSError:
            return None
        if not file.is_of(status):
            return None
        return connection.answer(200, _head_again(file, status), True, content)
    try:
        fd = docroot.open_read(path)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        size = status.st_size
        is_same = file.is_of(status)
        if is_same and size <= MAX_CONTENT:
            content = os.pread(fd, size, 0)
    except OSError:
        is_same = False
    if is_same and content is None:
        download = Download(path, fd, _head_again(file, status), Span(0, size), True, device)
        return download.begin(connection, 200)
    close_read(fd)
    if content is None or len(content) != size:
        return None
    connection.service.recent_files.keep(path, RecentFile(status, content))
    return connection.answer(200, _head_again(file, status), True, content)


def _head_again(file: RecentFile, status: os.stat_result) -> bytes:
    """Return the head of a 200 on a kept connection."""
    rest = file.head_rest
    if not rest:
        modified = status.st_mtime_ns // _NS
        rest = file.head_rest = response.whole_rest(status.st_size, modified, True)
    return response.WHOLE_BEGIN + date_now() + rest


def _answer_inside(
    connection: HTTPConnection, request: Request, keep_alive: bool, device: Device
) -> Next:
    """Answer with a slot of the device, and leave it."""
    service, path = connection.service, request.path
    try:
        if device.is_down:
            return connection.answer_short(500, keep_alive)
        if service.is_unmounted(path):
            return _refuse(connection, request, keep_alive, device, NotMounted())
        try:
            fd = service.clients.retry_after_relief(service.docroot.open_read, path)
        except OSError as error:
            return _refuse(connection, request, keep_alive, device, error)
        if not device.name:
            # From the next request on it has slots of its own.
            service.devices.register(path)
        return _send(connection, request, keep_alive, fd, device)
    finally:
        device.leave(READ, monotonic() - connection.turn_at)


def _refuse(
    connection: HTTPConnection, request: Request, keep_alive: bool, device: Device, error: OSError
) -> Next:
    """Answer that the file cannot be read, and report it if the disk is to blame."""
    connection.errno = error.errno or 0
    attempt = Attempt("read", request.method.decode(), request.path, connection.peer())
    status = statuses.status_of(error, statuses.READ, device, attempt)
    return connection.answer_short(status, keep_alive)


def _answer_root(connection: HTTPConnection, request: Request, keep_alive: bool) -> Next:
    """Answer the health probe: the root is an empty file of 1970."""
    status, head, _ = _head(request.fields.range_, 0, 0, keep_alive)
    return connection.answer(status, head, keep_alive)


def _answer_usage(
    connection: HTTPConnection, request: Request, record: UsageRecord, keep_alive: bool
) -> Next:
    """Answer with a usage record as if it were a file."""
    text = record.text()
    status, head, span = _head(request.fields.range_, len(text), record.time, keep_alive)
    content = text[span.first : span.first + span.size] if request.method == b"GET" else b""
    return connection.answer(status, head, keep_alive, content)


def _head(
    asked: ByteRange | None, size: int, modified: int, keep_alive: bool
) -> tuple[int, bytes, Span]:
    """Return the status and the head of the answer, and which part of the file is its content."""
    if asked is None or is_whole(asked, size):
        return 200, response.whole(size, modified, keep_alive), Span(0, size)
    span = resolve(asked, size)
    if span is None:
        return 416, response.unsatisfiable(size, keep_alive), Span(0, 0)
    return 206, response.partial(span, size, modified, keep_alive), span


def _send(
    connection: HTTPConnection, request: Request, keep_alive: bool, fd: int, device: Device
) -> Next:
    """Send the open file `fd`, and close it; the caller holds a slot."""
    content = None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(errno.EACCES, "not a regular file")
        code, head, (first, size) = _head(
            request.fields.range_, status.st_size, status.st_mtime_ns // _NS, keep_alive
        )
        if request.method == b"HEAD":
            size = 0
        may_keep = size == status.st_size and is_settled(status)
        if size <= SMALL:
            content = os.pread(fd, size, first) if size else b""
    except OSError as error:
        close_read(fd)
        return _refuse(connection, request, keep_alive, device, error)
    if content is not None and len(content) == size:
        close_read(fd)
        # Not after a HEAD: trackers look at every file.
        if may_keep and request.method == b"GET":
            connection.service.recent_files.keep(request.path, RecentFile(status, content))
        return connection.answer(code, head, keep_alive, content)
    if may_keep:
        connection.service.recent_files.keep(request.path, RecentFile(status, None))
    if size > _SEQUENTIAL and hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(fd, first, size, os.POSIX_FADV_SEQUENTIAL)
    span = Span(first, size)
    download = Download(request.path, fd, head, span, keep_alive, device)
    return download.begin(connection, code)


class _Waiting(Work):
    """A GET or HEAD that waits for a slot of its device."""

    def __init__(self, request: Request, keep_alive: bool, device: Device) -> None:
        self.takes_interim = request.fields.takes_interim
        self._request = request
        self._keep_alive = keep_alive
        self._device = device

    def advance(self, connection: HTTPConnection, _buffers: Buffers | None = None) -> Next:
        if not self._device.enter(connection, has_nothing=True):
            return Next.PARKED
        connection.work = None
        return _answer_inside(connection, self._request, self._keep_alive, self._device)


class Download(Work):
    """A file on its way to a client, over as many steps as the client needs."""

    wait = Wait.SEND

    def __init__(
        self,
        path: bytes,
        fd: int,
        head: bytes,
        span: Span,
        keep_alive: bool,
        device: Device,
    ) -> None:
        self._path = path
        self._fd = fd
        self._head = head
        self._offset, self._left = span
        if self._left > _SHORT:
            _long_ones.add(self)
        self._keep_alive = keep_alive
        self._device = device
        # Whether the last step could send nothing, although the socket was ready.
        self._stalls = False

    def advance(self, connection: HTTPConnection, _buffers: Buffers) -> Next:
        if not self._device.enter(connection):
            return Next.PARKED
        try:
            return self.send_some(connection)
        finally:
            self._device.leave(READ, monotonic() - connection.turn_at)

    def begin(self, connection: HTTPConnection, status: int) -> Next:
        """Send the first part of an answer of that status; the caller holds a slot."""
        connection.work = self
        connection.note_begun(status, len(self._head))
        return self.send_some(connection)

    def send_some(self, connection: HTTPConnection) -> Next:
        """Send what the socket takes; the caller holds a slot of the device."""
        turn = _TURN if len(_long_ones) > _FEW and self in _long_ones else _SHORT
        begin, until = self._offset, connection.turn_at + TURN_S
        # To sendfile, a file that answers EAGAIN looks like a full socket, for ever.
        send, self._stalls = (copy_file if self._stalls else sendfile), False
        try:
            if self._head:
                sent = connection.sock.send(self._head, _MSG_MORE)
                connection.note_sent(sent)
                self._head = self._head[sent:]
                if self._head:
                    return Next.WRITE
            while self._left and turn > 0 and monotonic() < until:
                size = min(self._left, turn, _PIECE)
                sent = send(connection.sock, self._fd, self._offset, size)
                send = sendfile
                if not sent:
                    report_shrunk(self._device, self._attempt(connection), self._left)
                    self.abandon()
                    return Next.CLOSE
                connection.note_sent(sent)
                self._offset += sent
                self._left -= sent
                turn -= sent
        except BlockingIOError:
            self._stalls = self._offset == begin
            return Next.WRITE
        except FileError as error:
            connection.errno = error.errno or 0
            report(error, self._device, self._attempt(connection))
            self.abandon()
            return Next.CLOSE
        except OSError:
            # The client has gone. Closing the file can hang: do it while the slot is held.
            self.abandon()
            raise
        if self._left:
            return Next.AGAIN
        self.abandon()
        return connection.end_answer(self._keep_alive)

    def _attempt(self, connection: HTTPConnection) -> Attempt:
        return Attempt("read", "GET", self._path, connection.peer())

    def subject(self) -> str:
        return f"/{self._path.decode('ascii')} ({self._left} bytes are left)"

    def abandon(self) -> None:
        """Close the file."""
        _long_ones.discard(self)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            close_read(fd)
