"""The log: one line an event, to stderr or, once nobody is there to read it, to syslog.

Each line is written at once, so those of several processes never mingle. It is
`IDENT[PID]: message`, or the same as a JSON object for those who collect logs by machine.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
from datetime import UTC, datetime
from typing import ClassVar

# Between INFO and WARNING, as syslog has it.
NOTICE = 25

IDENT = "mogstored"

# Where the system's own log takes messages, on Linux and on the BSDs.
_SYSLOG_SOCKETS = ("/dev/log", "/var/run/log")


def open_log(
    *, to_syslog: bool = False, format_name: str = "text", syslog_socket: str | None = None
) -> None:
    """Send the messages of both packages, from INFO on, to stderr or else to syslog.

    `format_name` is `text` or `json`; `syslog_socket` overrides the system's own.
    """
    logging.addLevelName(NOTICE, "NOTICE")
    handler: logging.Handler
    if to_syslog:
        handler = _Syslog(syslog_socket or _find_syslog())
        handler.setFormatter(_Json() if format_name == "json" else logging.Formatter())
    else:
        handler = _Stderr()
        handler.setFormatter(_Json() if format_name == "json" else _Text())
    for name in ("mogstored", "mogpoll"):
        log = logging.getLogger(name)
        log.setLevel(logging.INFO)
        log.propagate = False
        for old in log.handlers:
            old.close()
        log.handlers[:] = [handler]


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            os.write(sys.stderr.fileno(), line.encode("utf-8", "backslashreplace"))
        except Exception:
            self.handleError(record)


class _Syslog(logging.handlers.SysLogHandler):
    """As syslog(3) with LOG_PID; what cannot be sent is lost, and costs nobody anything."""

    append_nul = False
    priority_map: ClassVar[dict[str, str]] = {
        **logging.handlers.SysLogHandler.priority_map,
        "NOTICE": "notice",
    }

    def __init__(self, address: str) -> None:
        super().__init__(address, facility=self.LOG_DAEMON)

    def format(self, record: logging.LogRecord) -> str:
        return f"{IDENT}[{record.process}]: {super().format(record)}"

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{IDENT}[{record.process}]: {super().format(record)}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        return json.dumps(
            {
                "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "ident": IDENT,
                "pid": record.process,
                "level": record.levelname.lower(),
                "message": super().format(record),
            }
        )


def _find_syslog() -> str:
    for path in _SYSLOG_SOCKETS:
        if os.path.exists(path):
            return path
    return _SYSLOG_SOCKETS[0]
