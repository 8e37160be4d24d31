"""The top of the sidechannel: bytes to lines to commands, each answered before the next."""

from __future__ import annotations

import logging
import socket
import struct

from mogpoll import Next
from mogstored.connections.buffers import Buffers
from mogstored.log.rate_limit import BurstLimiter, RateLimiter
from mogstored.sidechannel.checksum import Checksum
from mogstored.sidechannel.command import (
    Command,
    Digest,
    Reply,
    SetThreads,
    Shutdown,
    Size,
    Watch,
    parse_command,
)
from mogstored.sidechannel.connection import SidechannelConnection
from mogstored.sidechannel.lines import LineTooLong
from mogstored.sidechannel.size import Sizing
from mogstored.sidechannel.watch import Stream

_log = logging.getLogger("mogstored")

# Holds some hundred pipelined commands.
_RECV_SIZE = 4 * 1024
# struct linger: on, 0 s. close() then resets.
_RESET = struct.pack("ii", 1, 0)

# Lines of the log for changes of the number of threads.
_changes = BurstLimiter(burst=20, interval_s=1.0)
_complaints = RateLimiter(1.0)


class SidechannelSession(SidechannelConnection):
    """Reads commands and carries them out."""

    __slots__ = ()

    def advance(self, buffers: Buffers) -> Next:
        if self.work is not None:
            return self.work.advance(self, buffers)
        if not self.flush():
            return Next.WRITE
        try:
            line = self.lines.take()
            if line is None:
                verdict = self._receive()
                line = self.lines.take()
        except LineTooLong:
            return self._reset()
        if line is None:
            return verdict
        return self._perform(parse_command(line), buffers)

    def _perform(self, command: Command, buffers: Buffers) -> Next:
        """Carry `command` out, as far as this step can."""
        service, note = self.service, buffers.counters.note_command
        match command:
            case Size(path):
                note("size")
                return self.begin(Sizing(service, path), buffers, b"%b " % path)
            case Digest():
                note(command.algorithm.decode("ascii"))
                begin = b"%b %b=" % (command.path, command.algorithm)
                return self.begin(Checksum(service, command), buffers, begin)
            case SetThreads(count):
                note("aio_threads")
                service.set_aio_threads(count)
                if _changes.skipped() is not None:
                    _log.info("server aio_threads=%d", count)
                return self.answer(b"")
            case Shutdown():
                note("shutdown")
                service.request_stop()
                return self.finish()
            case Reply(text):
                note("other")
                return self.answer(text)
            case Watch():
                note("watch")
                # Made for every docroot with a sidechannel.
                assert service.inventory is not None
                return self.begin(Stream(service.watchers, service.inventory), buffers)

    def _receive(self) -> Next:
        """Read once; return what is next if that completes no line."""
        try:
            data = self.sock.recv(_RECV_SIZE)
        except BlockingIOError:
            if self.service.draining and not self.lines:
                return Next.CLOSE
            return Next.READ
        self.lines.feed(data)
        return Next.READ if data else Next.CLOSE

    def _reset(self) -> Next:
        """Close with a reset, which a client notices while it is still writing."""
        if _complaints.is_due():
            _log.error("mgmt request too large from %s", self.peer())
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return Next.CLOSE
