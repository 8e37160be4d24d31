"""The serving processes, as the admin process sees them: channels, answers, and sums.

A process that does not answer in time is shown as it was; one that has ended is remembered by
what it had counted, so that no counter ever falls, also when this one is replaced.
`mogstored.observer` is the other end.
"""

from __future__ import annotations

import logging
import marshal
import socket
from time import monotonic

from mogstored.admin import sums
from mogstored.admin.shared_record import SharedRecord
from mogstored.observability.frames import FrameReader
from mogstored.observability.snapshot import ProcessSnapshot
from mogstored.observer import REQUEST

_log = logging.getLogger("mogstored")

_RECV_SIZE = 256 * 1024


class Channel:
    """The channel to one serving process."""

    def __init__(self, number: int, pid: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.number = number
        self.pid = pid
        self.answered_at = monotonic()
        """When it last answered; at first, when it was introduced."""
        self.cpu_s = 0.0
        """Processor time when it was last looked at."""
        self.is_over = False
        self._sock = sock
        self._answers = FrameReader()
        # Encoded, for hundreds of devices: as objects they take ten times as much.
        self._answer = b""
        self._asked = 0
        self._answered = 0

    @property
    def is_awaited(self) -> bool:
        return not self.is_over and self._answered < self._asked

    def fileno(self) -> int:
        return self._sock.fileno()

    def ask(self) -> None:
        """Ask for a snapshot. The answer to an earlier question is no answer to this one."""
        if self._asked - self._answered > 1:
            # It does not answer at present.
            return
        try:
            self._sock.send(REQUEST)
        except OSError:
            # It has no room for the question, or stops: then its last answer is still to be read.
            return
        self._asked += 1

    def receive(self) -> None:
        """Take what has arrived; sets `is_over` when the process has ended."""
        while not self.is_over:
            try:
                data = self._sock.recv(_RECV_SIZE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._answers.feed(data)
            self.is_over = not data
            while (answer := self._answers.take()) is not None:
                # The last one, of a process that stops, comes unasked.
                self._answered = min(self._answered + 1, self._asked)
                self.answered_at = monotonic()
                self._answer = answer

    def snapshot(self) -> ProcessSnapshot | None:
        """Return the last answer, if there was one."""
        if not self._answer:
            return None
        try:
            return ProcessSnapshot.decode(self._answer)
        except Exception:
            _log.exception("cannot read the counters of PID %d", self.pid)
            self._answer = b""
            return None

    def close(self) -> None:
        self._sock.close()


class Sources:
    """All channels, and what processes that have ended had counted.

    The latter is kept in `record`, for the admin process that will replace this one.
    """

    def __init__(self, record: SharedRecord | None = None) -> None:
        self.channels: list[Channel] = []
        self.ended_cpu_s = 0.0
        """Processor time of the processes that have ended, admin processes among them."""
        self.own_cpu_s = 0.0
        """Processor time of this process when it was last looked at."""
        self._ended = sums.nothing().encode()
        self._record = record
        kept = b"" if record is None else record.load()
        if kept:
            self.ended_cpu_s, self._ended = marshal.loads(kept)

    def add(self, channel: Channel) -> None:
        self.channels.append(channel)
        self.channels.sort(key=lambda it: (it.number, it.answered_at))

    def ask(self) -> None:
        for channel in self.channels:
            channel.ask()

    @property
    def are_complete(self) -> bool:
        """Whether no answer is missing."""
        return not any(channel.is_awaited for channel in self.channels)

    def drop(self, channel: Channel) -> None:
        """Remember what the process of a channel that is over has counted."""
        self.channels.remove(channel)
        channel.close()
        self.ended_cpu_s += channel.cpu_s
        last = channel.snapshot()
        if last is not None:
            self._ended = sums.remember(self.ended(), last).encode()
        self.keep()

    def keep(self) -> None:
        """Save what would be lost with this process."""
        if self._record is not None:
            self._record.save(marshal.dumps((self.ended_cpu_s + self.own_cpu_s, self._ended)))

    def ended(self) -> ProcessSnapshot:
        """Return the counts of processes that have ended."""
        return ProcessSnapshot.decode(self._ended)
