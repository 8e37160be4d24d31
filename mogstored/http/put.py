"""PUT: a body becomes a file, whole or not at all.

The body goes to a temporary file beside the final name, and is renamed when it is complete
and its checksum is right. Until then the name shows what it showed before, and an upload that
ends early removes its temporary file. A Content-Range writes into the file itself, for clients
that build a large file from parts; that cannot be undone.

Most bodies are there when their heads are read, and are stored in one go (`Docroot.store`). The
others are for `mogstored.http.upload`.

Checks that need no disk come first, so that a refused request leaves no trace.
"""

from __future__ import annotations

import errno
from time import monotonic

from mogpoll import FileError, Next, last_data_received_ms
from mogstored.connections.buffers import Buffers
from mogstored.devices.device import Device
from mogstored.devices.slots import WRITE
from mogstored.files.disk_errors import Attempt, NotMounted
from mogstored.files.paths import is_climbing, is_storable
from mogstored.http import room, statuses
from mogstored.http.connection import HTTPConnection
from mogstored.http.message import response
from mogstored.http.message.ranges import MAX_OFFSET, parse_content_range
from mogstored.http.message.request import BadRequest, Fields, Request
from mogstored.http.upload import Upload, refusal

# Up to this size a body is received before anything is made of it, if all of it is there already.
# One write of 64 KiB costs 0.8 times what one of its beginning and one of the rest cost, on ext4
# and xfs (measured).
_AT_ONCE = 128 * 1024


def answer(connection: HTTPConnection, request: Request, buffers: Buffers) -> Next:
    """Check a PUT and start on it."""
    path, fields = request.path, request.fields
    if connection.get_only:
        return connection.refuse(405)
    if not is_storable(path):
        return connection.refuse(403 if is_climbing(path) else 400)
    known = buffers.known[connection.docroot_number]
    device = known.device_of(path, connection.service.devices)
    if not device.takes_files:
        return connection.refuse(refusal(device))
    size, pending = fields.bare_size, connection.pending
    if 0 <= size <= len(pending):
        body, rest = pending[:size], pending[size:]
        if device.try_enter(connection):
            connection.pending = rest
            return _store_whole(connection, path, fields, device, body)
    elif 0 < size <= _AT_ONCE and device.try_enter(connection):
        return _answer_inside(connection, request, device, size, buffers)
    upload = connection.work = Upload(connection, request, device, start_of_range(fields))
    return upload.advance(connection, buffers)


def _answer_inside(
    connection: HTTPConnection, request: Request, device: Device, size: int, buffers: Buffers
) -> Next:
    """Receive the rest of a body with a slot of the device; store it, if all of it has come."""
    path = request.path
    try:
        peer = connection.peer()
        body = _receive_whole(connection, size, buffers)
        if body is None:
            upload = Upload(connection, request, device, 0)
    except BaseException as error:
        device.leave(WRITE, monotonic() - connection.turn_at)
        if not isinstance(error, OSError):
            raise
        reason, silence = error.strerror or str(error), last_data_received_ms(connection.sock)
        statuses.report_lost(path, peer, connection.body_received, reason, silence)
        return Next.CLOSE
    if body is not None:
        return _store_whole(connection, path, request.fields, device, body)
    # The upload goes on with it.
    connection.has_slot = True
    connection.work = upload
    return upload.advance(connection, buffers)


def _receive_whole(connection: HTTPConnection, size: int, buffers: Buffers) -> memoryview | None:
    """Return a body if its rest is there; else None, and what is there is pending.

    `body_received` is what came.
    **Raises:** `OSError` of the client.
    """
    pending = connection.pending
    received = len(pending)
    buffer = buffers.buffer[:size]
    buffer[:received] = pending
    try:
        while received < size:
            count = connection.sock.recv_into(buffer[received:])
            if not count:
                break
            buffers.counters.received += count
            received += count
    except BlockingIOError:
        pass
    finally:
        connection.body_received = received
    if received < size:
        connection.pending = bytes(buffer[:received])
        return None
    connection.pending = b""
    return buffer


def _store_whole(
    connection: HTTPConnection,
    path: bytes,
    fields: Fields,
    device: Device,
    body: bytes | memoryview,
) -> Next:
    """Store a body that is there, with a slot of the device, and leave it."""
    service, status = connection.service, 201
    connection.body_received = len(body)
    try:
        if service.guard is not None and service.is_unmounted(path):
            raise NotMounted
        if service.min_free is not None:
            room.take(connection, device, path, len(body))
        service.docroot.store(path, body, device.name)
    except OSError as error:
        status = _store_again(connection, path, body, device, error)
    except BadRequest as refused:
        status = refused.status
    finally:
        device.leave(WRITE, monotonic() - connection.turn_at)
    if status != 201:
        return connection.refuse(status)
    if not device.name:
        service.devices.register(path)
        device = service.devices.of(path)
    device.note_change()
    keep_alive = fields.keep_alive and not (service.draining and connection.is_last_answer())
    return connection.answer(201, response.short(201, keep_alive), keep_alive)


def _store_again(
    connection: HTTPConnection,
    path: bytes,
    body: bytes | memoryview,
    device: Device,
    error: OSError,
) -> int:
    """Store once more if that may help; return the status."""
    service = connection.service
    # The disk of the file is out of sight: it was unmounted, or another one mounted over it.
    has_moved = isinstance(error, FileError) and error.errno in (errno.ENOENT, errno.EXDEV)
    if has_moved or service.clients.relieve_from(error):
        try:
            service.docroot.store(path, body)
        except OSError as second:
            error = second
        else:
            return 201
    connection.errno = error.errno or 0
    table = statuses.WRITE if isinstance(error, FileError) else statuses.CREATE
    attempt = Attempt("write", "PUT", path, connection.peer())
    return statuses.status_of(error, table, device, attempt)


def start_of_range(fields: Fields) -> int:
    """Return the offset in the file at which a Content-Range puts the body, 0 without one.

    **Raises:** `BadRequest` when the field is malformed or does not fit the body.
    """
    if fields.content_range is None:
        return 0
    try:
        first, last, _ = parse_content_range(fields.content_range)
    except OverflowError as error:
        raise BadRequest(str(error), 507) from None
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if fields.chunked or fields.content_length != last - first + 1:
        raise BadRequest("Content-Range does not fit the body")
    if last == MAX_OFFSET:
        # The write would fail with EINVAL, after the file was made.
        raise BadRequest("no file is longer than 2^63-1 bytes", 507)
    return first
