"""PUT: a body becomes a file, whole or not at all.

A whole file is written beside its final name and renamed over it when it is complete and
its checksum is right; until then the name shows what it showed before, and whatever ends
the upload early removes the temporary file. A Content-Range writes into the file itself,
for clients that build large files from parts, and has no way back.

All checks that need no disk come first, so that a refused request leaves no trace.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import logging
import os
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING

from mogpoll import Next, last_data_received_ms
from mogstored.connection import Workspace
from mogstored.http import failures, response
from mogstored.http.body_md5 import BodyMD5
from mogstored.http.chunked import ChunkedDecoder
from mogstored.http.ranges import MAX_OFFSET, parse_content_range
from mogstored.http.request import BadRequest, Fields, Request
from mogstored.storage.paths import is_climbing, is_storable

if TYPE_CHECKING:
    from mogstored.http.session import HTTPSession

_log = logging.getLogger("mogstored")

# Other clients get their turn after so much of one body.
_TURN = 4 * Workspace.BUFFER_SIZE
# The hashing idles for 0.5 ms between two turns, which last 7 ms when it is what bounds them. So
# one may follow the other at once until so much time has passed.
_HASHED_TURNS_S = 0.05


def answer(session: HTTPSession, request: Request, workspace: Workspace) -> Next:
    """Check a PUT and start on it."""
    if session.get_only:
        return session.refuse(405)
    if is_climbing(request.path):
        return session.refuse(403)
    if not is_storable(request.path):
        return session.refuse(400)
    fields = request.fields
    upload = session.work = Upload(session, request, _start_of_range(fields))
    return upload.advance(session, workspace)


def _start_of_range(fields: Fields) -> int:
    """Return where a Content-Range has the body go, 0 if there is none.

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
        # Refused here, before a file is made for it; the kernel says EINVAL to the write.
        raise BadRequest("no file is longer than 2^63-1 bytes", 507)
    return first


class Upload:
    """A body on its way to the disk."""

    def __init__(self, session: HTTPSession, request: Request, start: int) -> None:
        fields = request.fields
        self._path = request.path
        self._fields = fields
        self._docroot = session.service.docroot
        self._device = session.service.devices.of(request.path)
        self._fd = -1
        self._temporary: bytes | None = None
        self._offset = start
        self._left = fields.content_length or 0
        self._decoder = ChunkedDecoder() if fields.chunked else None
        checked = fields.content_md5 is not None or fields.md5_in_trailer
        self._md5 = BodyMD5(session.service.hashing) if checked else None
        self._peer = ""

    def advance(self, session: HTTPSession, workspace: Workspace) -> Next:
        if not self._device.enter(session, has_nothing=self._fd < 0):
            return Next.PARKED
        try:
            return self._go_on(session, workspace)
        finally:
            self._device.leave()

    def abandon(self) -> None:
        """Remove what is not complete; the name shows what it showed before."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _close_quietly(fd)
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            try:
                self._docroot.unlink(temporary)
            except OSError as error:
                _log.error("unlink /%s failed: %s", temporary.decode(), error.strerror)

    def _go_on(self, session: HTTPSession, workspace: Workspace) -> Next:
        """Open, receive and commit, as far as it goes now; a slot is held."""
        if self._fd < 0:
            if self._decoder is not None or len(session.pending) < self._left:
                # Asked for while there is somebody to ask: a client that has reset its
                # connection has no address any more.
                self._peer = session.peer()
            if session.service.is_unmounted(self._path):
                return session.refuse(507)
            try:
                session.service.clients.retried(self._open)
            except OSError as error:
                status = failures.status_of(error, failures.CREATE, self._path, "PUT")
                return session.refuse(status)
            session.service.devices.learn(self._path)
            if self._fields.expects_continue and not session.pending and not self._complete():
                with contextlib.suppress(BlockingIOError):
                    # Full of answers that the client has not read: it is not waiting then.
                    session.sock.send(response.CONTINUE)
        try:
            status = self._receive(session, workspace)
        except BadRequest as refused:
            status = refused.status
        except (ConnectionError, TimeoutError) as error:
            return self._lose(session, error.strerror or str(error))
        if isinstance(status, Next):
            return status
        self.abandon()
        return session.refuse(status)

    def _open(self) -> None:
        if self._fields.content_range is None:
            self._fd, self._temporary = self._docroot.create_temporary(self._path)
        else:
            self._fd = self._docroot.open_in_place(self._path)

    def _complete(self) -> bool:
        return self._decoder.done if self._decoder is not None else not self._left

    def _receive(self, session: HTTPSession, workspace: Workspace) -> Next | int:
        """Store what has arrived; return what is next, or the status of a refusal."""
        left_of_turn, began = _TURN, monotonic()
        # What is received into one part of the ring is hashed while others are received into.
        buffers = cycle([workspace.buffer] if self._md5 is None else workspace.ring)
        try:
            if session.pending:
                pending, session.pending = session.pending, b""
                session.pending = pending[self._store(memoryview(pending)) :]
            while not self._complete():
                if left_of_turn <= 0:
                    if not self._may_go_on(session, began):
                        return Next.READ
                    left_of_turn = _TURN
                buffer = next(buffers)
                if self._md5 is not None:
                    # Then the part that comes next in the ring is not being hashed.
                    self._md5.wait(len(workspace.ring) - 1)
                wanted = len(buffer)
                if self._decoder is None:
                    wanted = min(wanted, self._left)
                try:
                    size = session.sock.recv_into(buffer, wanted)
                except BlockingIOError:
                    return Next.READ
                if not size:
                    return self._lose(session, "premature EOF")
                taken = self._store(buffer[:size])
                if taken < size:
                    session.pending = bytes(buffer[taken:size])
                left_of_turn -= size
        except (ConnectionError, TimeoutError, BadRequest):
            raise
        except OSError as error:
            return failures.status_of(error, failures.WRITE, self._path, "write to")
        finally:
            if self._md5 is not None:
                # The buffers are the thread's, and the next connection's when this returns.
                self._md5.wait()
        return self._commit(session)

    def _may_go_on(self, session: HTTPSession, began: float) -> bool:
        """Say whether another turn may follow at once: another thread hashes, and nobody waits."""
        return (
            self._md5 is not None
            and self._md5.is_handed_over()
            and monotonic() - began < _HASHED_TURNS_S
            and not (self._device.is_wanted() or session.service.draining)
        )

    def _store(self, data: memoryview) -> int:
        """Write the part of `data` that belongs to the body; return the bytes consumed."""
        if self._decoder is None:
            taken = min(self._left, len(data))
            pieces = [data[:taken]]
        else:
            pieces, taken = self._decoder.decode(data)
        if self._md5 is not None:
            self._md5.begin(pieces)
        for piece in pieces:
            self._write(piece)
        if self._decoder is None:
            self._left -= taken
        return taken

    def _write(self, data: memoryview) -> None:
        while data:
            written = os.pwrite(self._fd, data, self._offset)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._offset += written
            data = data[written:]

    def _commit(self, session: HTTPSession) -> Next | int:
        keep_alive = self._fields.keep_alive and not session.is_leaving()
        if not self._is_genuine():
            self.abandon()
            return session.answer(response.short(400, keep_alive), keep_alive)
        fd = self._fd
        try:
            os.fchmod(fd, self._docroot.file_mode)
            self._fd = -1
            # Before the rename: a network file system may find out only now that it is full.
            os.close(fd)
            if self._temporary is not None:
                self._docroot.rename(self._temporary, self._path)
                self._temporary = None
        except OSError as error:
            return failures.status_of(error, failures.WRITE, self._path, "store of")
        session.service.note_change(self._path)
        return session.answer(response.short(201, keep_alive), keep_alive)

    def _is_genuine(self) -> bool:
        """Compare the checksums that were promised with the body's."""
        if self._md5 is None:
            return True
        actual = base64.b64encode(self._md5.digest())
        promised = []
        if self._fields.content_md5 is not None:
            promised.append(self._fields.content_md5)
        if self._fields.md5_in_trailer and self._decoder is not None:
            promised.append(self._decoder.content_md5 or b"")
        return all(md5 == actual for md5 in promised)

    def _lose(self, session: HTTPSession, reason: str) -> Next:
        """The client went away: clean up, then say so in the log."""
        self.abandon()
        peer = self._peer
        path = self._path.decode("ascii")
        _log.error("PUT /%s failed from %s after %d bytes: %s", path, peer, self._offset, reason)
        silence = last_data_received_ms(session.sock)
        if silence is not None:
            _log.error("last_data_recv=%dms from %s for PUT /%s", silence, peer, path)
        return Next.CLOSE


def _close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        # The file is being thrown away.
        return
