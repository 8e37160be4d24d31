"""`MD5 PATH` and the like: read a file between other work, and answer with its digest.

A digest takes a slot of the device to open the file. If it belongs to a check (fsck), it takes
the turn of its file system and keeps it to the end of the file. Then it takes a slot again for
each slice, so that requests for the device get in between, and leaves its thread, so that those
for other devices do. A client that leaves is noticed after each wait and between slices.
"""

from __future__ import annotations

import stat
from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING

from mogpoll import Next, lowered_io_priority
from mogstored.connections.buffers import Buffers
from mogstored.devices.slots import DIGEST, TURN_S
from mogstored.files.digests import FileDigest, digest_of
from mogstored.files.disk_errors import Attempt, report_reading
from mogstored.sidechannel.command import Digest
from mogstored.sidechannel.connection import SidechannelConnection
from mogstored.sidechannel.lookup import Target

if TYPE_CHECKING:
    from mogstored.service import Service


class Checksum:
    """One digest, as far as it is computed."""

    def __init__(self, service: Service, command: Digest) -> None:
        self._command = command
        self._target = Target(service, command.path)
        self._digest: FileDigest | None = None
        self._file_system = 0
        # In the queue of its file system, or at its head: a step has the turn.
        self._is_queued = False

    def advance(self, connection: SidechannelConnection, buffers: Buffers) -> Next:
        if self._digest is None and (verdict := self._open(connection)) is not None:
            return verdict
        has_waited = self._is_queued
        if self._command.fsck and not self._is_queued:
            self._is_queued = True
            if not connection.service.fsck_queue.enter(self._file_system, connection):
                return Next.PARKED
        device = self._target.device
        while True:
            if not device.enter(connection):
                return Next.PARKED
            since = monotonic()
            try:
                verdict = self._go_on(connection, buffers, has_waited)
            finally:
                # After the close of the file, which may hang too.
                device.leave(DIGEST, monotonic() - since)
            # AGAIN waits for the client's socket to be writable. With the turn of a file system,
            # other digests would wait for that, too.
            if verdict is not Next.AGAIN or not self._is_queued or connection.is_writable():
                return verdict

    def abandon(self, connection: SidechannelConnection) -> None:
        """Close the file, and pass the turn on."""
        if self._digest is not None:
            self._digest.close()
        if self._is_queued:
            self._is_queued = False
            connection.service.fsck_queue.leave(self._file_system)

    def _open(self, connection: SidechannelConnection) -> Next | None:
        """Open the file; return what is next, None when the file can be read."""
        if self._target.device.is_down and not connection.has_slot:
            # Slots of a disk that hangs are not to be waited for.
            return self._answer(connection, "-1")
        if not self._target.device.enter(connection, has_nothing=True):
            return Next.PARKED
        since = monotonic()
        try:
            opened = self._target.open()
        except OSError as error:
            self._report(error, connection)
            return self._answer(connection, "-1")
        finally:
            self._target.device.leave(DIGEST, monotonic() - since)
        if isinstance(opened, bytes):
            return self._answer(connection, digest_of(opened, self._command.hash_name))
        fd, status = opened
        digest = FileDigest(fd, self._command.hash_name)
        if not stat.S_ISREG(status.st_mode):
            digest.close()
            return self._fail(connection, digest.offset)
        self._file_system = status.st_dev
        self._digest = digest
        return None

    def _read(self, digest: FileDigest, buffers: Buffers) -> bool:
        """Read a slice; True at the end of the file."""
        priority = lowered_io_priority() if self._is_queued else nullcontext()
        with priority:
            return digest.read_slice(buffers.buffer, TURN_S, self._target.device.is_wanted)

    def _go_on(
        self, connection: SidechannelConnection, buffers: Buffers, has_waited: bool
    ) -> Next:
        """Read a slice; answer at the end of the file, or after an error."""
        digest = self._digest
        assert digest is not None
        try:
            done = not (has_waited and connection.has_hung_up()) and self._read(digest, buffers)
        except OSError as error:
            self._report(error, connection)
            self.abandon(connection)
            return self._fail(connection, digest.offset)
        if not done and not connection.has_hung_up():
            return Next.AGAIN
        self.abandon(connection)
        return self._answer(connection, digest.hexdigest()) if done else Next.CLOSE

    def _report(self, error: OSError, connection: SidechannelConnection) -> None:
        algorithm = self._command.algorithm.decode("ascii")
        path = self._command.path.lstrip(b"/")
        attempt = Attempt("digest", algorithm, path, connection.peer())
        report_reading(error, self._target.device, attempt)

    def _answer(self, connection: SidechannelConnection, value: str) -> Next:
        return connection.answer(self._reply(value))

    def _reply(self, value: str) -> bytes:
        path, algorithm = self._command.path, self._command.algorithm
        return b"%b %b=%b" % (path, algorithm, value.encode("ascii"))

    def _fail(self, connection: SidechannelConnection, offset: int) -> Next:
        if connection.has_begun_reply:
            return self._answer(connection, "-1")
        return connection.answer(b"ERR read %b at %d failed" % (self._command.path, offset))
