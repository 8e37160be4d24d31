"""Where the access log goes: a file, stdout, or the system's log."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mogstored.log.bounded_writer import Sink
from mogstored.log.log_file import LogFile
from mogstored.log.sinks import Syslog, find_syslog, open_descriptor

STDOUT = "-"
SYSLOG = "syslog"
_STDOUT_FD = 1

# From syslog.h: daemon.info.
_SYSLOG_PRIORITY = (3 << 3) + 6
SYSLOG_IDENT = "mogstored-access"

# What Linux writes to a pipe as a whole, beside other processes: PIPE_BUF.
_PIPE_BYTES = 4096


class Message(NamedTuple):
    """One write, and how many lines it has."""

    content: bytes
    lines: int


class Target:
    """An open destination: a path, `-` or `syslog`.

    **Threads:** one. What it does may block as long as a disk does.
    """

    def __init__(self, destination: str, syslog_socket: str | None = None) -> None:
        """**Raises:** `OSError`."""
        self.sink: Sink
        self._message_bytes = _PIPE_BYTES
        self._syslog_head = ""
        if destination == SYSLOG:
            self.sink = Syslog(syslog_socket or find_syslog())
            self._message_bytes = 0
            self._syslog_head = f"<{_SYSLOG_PRIORITY}>{SYSLOG_IDENT}[{os.getpid()}]: "
        elif destination == STDOUT and not stat.S_ISREG(os.fstat(_STDOUT_FD).st_mode):
            self.sink = open_descriptor(_STDOUT_FD)
        else:
            file = LogFile.inherited(_STDOUT_FD) if destination == STDOUT else LogFile(destination)
            if file.is_regular():
                self._message_bytes = sys.maxsize
            self.sink = file

    def messages(self, lines: Sequence[str]) -> Iterator[Message]:
        """Return lines as they are written: together, as far as they stay whole."""
        if self._syslog_head:
            lines = [self._syslog_head + line.removesuffix("\n") for line in lines]
        begin = size = 0
        for end, line in enumerate(lines):
            size += len(line)
            if end > begin and size > self._message_bytes:
                yield _join(lines[begin:end])
                begin, size = end, len(line)
        if lines:
            yield _join(lines[begin:])

    def count_left(self) -> int:
        """Return how many lines of a message were taken, but are not written yet."""
        return self.sink.count_left() if isinstance(self.sink, LogFile) else 0

    def reopen(self) -> None:
        """Open a path again, which may be another file now.

        **Raises:** `OSError`, and it goes on with what was open.
        """
        if isinstance(self.sink, LogFile):
            self.sink.reopen()


def _join(lines: Sequence[str]) -> Message:
    return Message("".join(lines).encode("ascii", "backslashreplace"), len(lines))
