"""A PUT over as many steps as its body needs: one that is on its way, long, checked or partial."""

from __future__ import annotations

import base64
import errno
import os
from itertools import cycle
from time import monotonic

from mogpoll import FileError, Next, last_data_received_ms
from mogstored.connections.buffers import Buffers
from mogstored.connections.time_limits import Wait
from mogstored.devices.device import Device
from mogstored.devices.slots import TURN_S, WRITE
from mogstored.files.checksums.body_digest import BodyDigest
from mogstored.files.disk_errors import Attempt, NotMounted, report
from mogstored.files.durability import WRITE_BACK
from mogstored.files.new_file import UploadedFile
from mogstored.http import room, statuses
from mogstored.http.connection import HTTPConnection, Work
from mogstored.http.message.chunked import ChunkedDecoder
from mogstored.http.message.request import BadRequest, Fields, Request

# Other clients get their turn after so many bytes of one body.
_TURN = 4 * Buffers.BUFFER_SIZE


def refusal(device: Device) -> int:
    """Return the answer for a device that is to get no files."""
    return 500 if device.is_down else 507


def _answer(connection: HTTPConnection, fields: Fields, status: int) -> Next:
    """Answer a PUT whose whole body was received."""
    leaves = connection.service.draining and connection.is_last_answer()
    keep_alive = fields.keep_alive and not leaves
    return connection.answer_short(status, keep_alive)


class Upload(Work):
    """A body on its way to the disk."""

    wait = Wait.BODY

    def __init__(
        self, connection: HTTPConnection, request: Request, device: Device, start: int
    ) -> None:
        fields = request.fields
        self.takes_interim = request.fields.takes_interim
        self._path = request.path
        self._fields = fields
        self._docroot = connection.service.docroot
        self._device = device
        self._file: UploadedFile | None = None
        self._claim: room.Claim | None = None
        self._offset = self._written_back = self._start = start
        self._left = fields.content_length or 0
        self._decoder = ChunkedDecoder() if fields.chunked else None
        checked = fields.content_md5 is not None or fields.md5_in_trailer
        algorithms = {"md5"} if checked else set()
        if fields.content_range is None and self._docroot.checksums.for_every_file is not None:
            algorithms.add(self._docroot.checksums.for_every_file)
        self._digest = BodyDigest(connection.service.hashing, algorithms) if algorithms else None
        self._peer = connection.peer() if checked else ""

    def advance(self, connection: HTTPConnection, buffers: Buffers) -> Next:
        if not self._device.enter(connection, has_nothing=self._file is None):
            return Next.PARKED
        try:
            return self._go_on(connection, buffers)
        finally:
            self._device.leave(WRITE, monotonic() - connection.turn_at)

    def time_out(self, connection: HTTPConnection, limit_s: int) -> None:
        # A client that has stopped in its body may read an answer.
        connection.work = _Withdrawal(self, f"nothing came for {limit_s} s")

    def withdraw(self, connection: HTTPConnection, reason: str) -> Next:
        """End the upload of a client that is late, with a slot of the device."""
        if not self._device.enter(connection, has_nothing=self._file is None):
            return Next.PARKED
        since = monotonic()
        try:
            self._client_lost(connection, reason)
        finally:
            self._device.leave(WRITE, monotonic() - since)
        return connection.refuse(408)

    def abandon(self) -> None:
        """Remove what was made of the file; the name shows what it showed before."""
        if self._claim is not None:
            self._claim.release()
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.discard()
        except OSError as error:
            report(error, self._device, Attempt("write", "unlink", self._path, self._peer))

    def _go_on(self, connection: HTTPConnection, buffers: Buffers) -> Next:
        """Open, receive and commit, as far as it goes now; a slot is held."""
        if self._file is None:
            if not self._device.takes_files:
                # Since it waits.
                return connection.refuse(refusal(self._device))
            if self._decoder is not None or len(connection.pending) < self._left:
                self._peer = connection.peer()
            try:
                if connection.service.is_unmounted(self._path):
                    raise NotMounted
                size = None if self._decoder is not None else self._left
                self._claim = room.claim(connection, self._device, self._path, size)
                connection.service.clients.retry_after_relief(self._open)
            except OSError as error:
                self.abandon()
                status = self._status_of(error, statuses.CREATE, connection)
                return connection.refuse(status)
            connection.service.devices.register(self._path)
            if self._fields.expects_continue and not connection.pending and not self._complete():
                connection.send_ahead()
        try:
            unfinished = self._receive(connection, buffers)
            return self._commit(connection) if unfinished is None else unfinished
        except BadRequest as refused:
            status = refused.status
        except FileError as error:
            status = self._status_of(error, statuses.WRITE, connection)
        self.abandon()
        return connection.refuse(status)

    def _status_of(self, error: OSError, table: dict[int, int], connection: HTTPConnection) -> int:
        connection.errno = error.errno or 0
        attempt = Attempt("write", "PUT", self._path, self._peer or connection.peer())
        return statuses.status_of(error, table, self._device, attempt)

    def _open(self) -> None:
        if self._fields.content_range is None:
            self._file = self._docroot.new_file(self._path)
        else:
            self._file = self._docroot.open_in_place(self._path)

    def _complete(self) -> bool:
        return self._decoder.done if self._decoder is not None else not self._left

    def _receive(self, connection: HTTPConnection, buffers: Buffers) -> Next | None:
        """Store what has arrived; return what comes next, None when the body is whole."""
        left_of_turn, began = _TURN, connection.turn_at
        # One part of the ring is received into while others are hashed.
        parts = cycle([buffers.buffer] if self._digest is None else buffers.ring)
        try:
            if connection.pending:
                pending, connection.pending = connection.pending, b""
                connection.pending = pending[self._store(memoryview(pending)) :]
            while not self._complete():
                if left_of_turn <= 0 or monotonic() - began >= TURN_S:
                    if not self._may_go_on(connection, began):
                        return Next.READ
                    left_of_turn = _TURN
                buffer = next(parts)
                if self._digest is not None:
                    # The next part of the ring is hashed then.
                    self._digest.wait(len(buffers.ring) - 1)
                wanted = len(buffer)
                if self._decoder is None:
                    wanted = min(wanted, self._left)
                try:
                    size = connection.sock.recv_into(buffer, wanted)
                except BlockingIOError:
                    return Next.READ
                except OSError as error:
                    # Without the errno's name: log readers match the text of other nodes.
                    return self._client_lost(connection, error.strerror or str(error))
                if not size:
                    return self._client_lost(connection, "premature EOF")
                buffers.counters.received += size
                taken = self._store(buffer[:size])
                if taken < size:
                    connection.pending = bytes(buffer[taken:size])
                left_of_turn -= size
        finally:
            connection.body_received = self._offset - self._start
            if self._digest is not None:
                # The next connection of this thread receives into the same buffers.
                self._digest.wait()
        return None

    def _may_go_on(self, connection: HTTPConnection, began: float) -> bool:
        """Say whether another turn may follow at once: another thread hashes, and no task waits.

        The hasher idles 0.5 ms between turns; a hash-bound turn takes 7 ms.
        """
        return (
            self._digest is not None
            and self._digest.is_handed_over()
            and monotonic() - began < TURN_S
            and not (self._device.is_wanted() or connection.service.draining)
        )

    def _store(self, data: memoryview) -> int:
        """Write the part of `data` that belongs to the body; return the bytes consumed."""
        if self._decoder is None:
            taken = min(self._left, len(data))
            pieces = [data[:taken]]
        else:
            pieces, taken = self._decoder.decode(data)
        if self._digest is not None:
            self._digest.begin(pieces)
        if self._claim is not None:
            self._claim.note(sum(map(len, pieces)))
        assert self._file is not None
        for piece in pieces:
            self._write(self._file, piece)
        if self._decoder is None:
            self._left -= taken
        return taken

    def _write(self, file: UploadedFile, data: memoryview) -> None:
        while data:
            try:
                written = os.pwrite(file.fd, data, self._offset)
            except OSError as error:
                raise FileError(error.errno, error.strerror) from None
            if not written:
                raise FileError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._offset += written
            data = data[written:]
        if self._offset - self._written_back >= WRITE_BACK:
            self._docroot.syncs.begin_write_back(
                file.fd, self._written_back, self._offset - self._written_back
            )
            self._written_back = self._offset

    def _commit(self, connection: HTTPConnection) -> Next:
        digests = {} if self._digest is None else self._digest.digests()
        if not self._is_genuine(digests.get("md5", b"")):
            if not statuses.is_probe(self._path):
                connection.service.counters.note_md5_mismatch()
            self.abandon()
            return _answer(connection, self._fields, 400)
        assert self._file is not None
        if digests and self._fields.content_range is None:
            self._keep_checksum(self._file, digests)
        self._file.publish()
        self._file = None
        connection.service.devices.of(self._path).note_change()
        return _answer(connection, self._fields, 201)

    def _is_genuine(self, md5: bytes) -> bool:
        """Say whether the body has the checksums that the request promised."""
        promised = []
        if self._fields.content_md5 is not None:
            promised.append(self._fields.content_md5)
        if self._fields.md5_in_trailer and self._decoder is not None:
            promised.append(self._decoder.content_md5 or b"")
        if not promised:
            return True
        actual = base64.b64encode(md5)
        wrong = next((each for each in promised if each != actual), None)
        if wrong is not None:
            statuses.report_mismatch(self._path, self._peer, actual, wrong)
        return wrong is None

    def _keep_checksum(self, file: UploadedFile, digests: dict[str, bytes]) -> None:
        try:
            self._docroot.checksums.keep(file.fd, self._path, digests)
        except OSError as error:
            raise FileError(error.errno, error.strerror) from None

    def _client_lost(self, connection: HTTPConnection, reason: str) -> Next:
        """Clean up after a client that went away, and log it."""
        self.abandon()
        silence = last_data_received_ms(connection.sock)
        statuses.report_lost(self._path, self._peer, self._offset, reason, silence)
        return Next.CLOSE


class _Withdrawal(Work):
    """In the place of an upload whose client is late: removes what is there of it."""

    def __init__(self, upload: Upload, reason: str) -> None:
        self._upload = upload
        self._reason = reason

    def advance(self, connection: HTTPConnection, _buffers: Buffers) -> Next:
        return self._upload.withdraw(connection, self._reason)

    def abandon(self) -> None:
        self._upload.abandon()
