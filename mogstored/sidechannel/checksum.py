"""MD5, SHA-1 and their kin: read a file beside other work, and answer with its digest.

The way of a digest: a slot of the device to open the file; if it is for checking, the turn
of its file system; then a slot again for each slice. The client may leave at any point,
which is noticed after a wait and between slices.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from mogpoll import Next, lowered_io_priority
from mogstored.connection import Workspace
from mogstored.sidechannel.command import Digest
from mogstored.sidechannel.target import Target
from mogstored.storage.digests import FileDigest, digest_of

if TYPE_CHECKING:
    from mogstored.service import Service
    from mogstored.sidechannel.session import SidechannelSession


class Checksum:
    """One digest on its way."""

    def __init__(self, service: Service, command: Digest) -> None:
        self._command = command
        self._target = Target(service, command.path)
        self._digest: FileDigest | None = None
        self._file_system = 0
        # While this is true and somebody steps us, the turn of the file system is ours.
        self._is_in_line = False

    def advance(self, session: SidechannelSession, workspace: Workspace) -> Next:
        digest = self._digest
        if digest is None:
            opened = self._open(session)
            if isinstance(opened, Next):
                return opened
            digest = self._digest = opened
        has_waited = self._is_in_line
        if self._command.fsck and not self._is_in_line:
            self._is_in_line = True
            if not session.service.fsck_lines.enter(self._file_system, session):
                return Next.PARKED
        if not self._target.device.enter(session):
            return Next.PARKED
        try:
            return self._go_on(digest, session, workspace, has_waited)
        finally:
            # After the file is closed, if it is: that may hang, too.
            self._target.device.leave()

    def abandon(self, session: SidechannelSession) -> None:
        """Close the file, and let the next one in the line have its turn."""
        if self._digest is not None:
            self._digest.close()
        if self._is_in_line:
            self._is_in_line = False
            session.service.fsck_lines.leave(self._file_system)

    def _open(self, session: SidechannelSession) -> FileDigest | Next:
        """Open the file; return what is next when that was all there is to do."""
        if not self._target.device.enter(session, has_nothing=True):
            return Next.PARKED
        try:
            opened = self._target.open()
        except OSError:
            return self._answer(session, "-1")
        finally:
            self._target.device.leave()
        if isinstance(opened, bytes):
            return self._answer(session, digest_of(opened, self._command.hash_name))
        fd, status = opened
        digest = FileDigest(fd, self._command.hash_name)
        if not stat.S_ISREG(status.st_mode):
            digest.close()
            return self._fail(session, digest.offset)
        self._file_system = status.st_dev
        return digest

    def _read(
        self,
        digest: FileDigest,
        session: SidechannelSession,
        workspace: Workspace,
        has_waited: bool,
    ) -> bool:
        """Read a slice, or all there is when it is our turn; True at the end of the file."""
        if not self._is_in_line:
            return digest.read_slice(workspace.buffer)
        with lowered_io_priority():
            while not (has_waited and session.has_hung_up()):
                if digest.read_slice(workspace.buffer):
                    return True
                has_waited = True
        return False

    def _go_on(
        self,
        digest: FileDigest,
        session: SidechannelSession,
        workspace: Workspace,
        has_waited: bool,
    ) -> Next:
        """Read on, and answer at the end or after a failure."""
        try:
            done = self._read(digest, session, workspace, has_waited)
        except OSError:
            self.abandon(session)
            return self._fail(session, digest.offset)
        if not done and not session.has_hung_up():
            return Next.AGAIN
        self.abandon(session)
        return self._answer(session, digest.hexdigest()) if done else Next.CLOSE

    def _answer(self, session: SidechannelSession, value: str) -> Next:
        path, algorithm = self._command.path, self._command.algorithm
        return session.answer(b"%b %b=%b" % (path, algorithm, value.encode("ascii")))

    def _fail(self, session: SidechannelSession, offset: int) -> Next:
        return session.answer(b"ERR read %b at %d failed" % (self._command.path, offset))
