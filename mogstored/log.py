"""The log: one line an event, to stderr, each in one write."""

from __future__ import annotations

import logging
import os
import sys

# Between INFO and WARNING, as syslog has it.
NOTICE = 25


class _OneWrite(logging.Handler):
    """Write `IDENT[PID]: message` and its line end at once, so lines never mingle."""

    def __init__(self, ident: str) -> None:
        super().__init__()
        self._ident = ident

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self._ident}[{os.getpid()}]: {self.format(record)}\n"
            os.write(sys.stderr.fileno(), line.encode("utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)


def open_log(ident: str) -> None:
    """Send the messages of both packages to stderr, from INFO on."""
    logging.addLevelName(NOTICE, "NOTICE")
    handler = _OneWrite(ident)
    for name in ("mogstored", "mogpoll"):
        log = logging.getLogger(name)
        log.setLevel(logging.INFO)
        log.propagate = False
        log.handlers[:] = [handler]
