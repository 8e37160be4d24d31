"""The log: one line per event, to stderr or, in a daemon, to syslog.

A line is `IDENT[PID]: message`, or the same as a JSON object. Each is one write, so the lines of
several processes stay whole. Logging never blocks: if the reader is slow, lines are kept for a
while, or lost and counted.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType

from mogstored.log.bounded_writer import BoundedWriter
from mogstored.log.printable import printable
from mogstored.log.sinks import Syslog, find_syslog, open_descriptor

# Between INFO and WARNING, as in syslog.
NOTICE = 25

IDENT = "mogstored"

# Takes the place of lost messages.
LOSS = "%d messages were lost: the reader of the log is too slow"

_ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

_STDERR_FD = 2

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""The names of levels, and the numbers of `logging`."""
_LOGGERS = ("mogstored", "mogpoll")

# From syslog.h.
_FACILITY_DAEMON = 3 << 3
_SEVERITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    NOTICE: 5,
    logging.INFO: 6,
    logging.DEBUG: 7,
}


def open_log(
    *,
    to_syslog: bool = False,
    format_name: str = "text",
    level: str = "info",
    syslog_socket: str | None = None,
) -> BoundedWriter:
    """Send the messages of both packages, from `level` on, to stderr or to syslog.

    `format_name` is `text` or `json`; `syslog_socket` overrides the system's own. Returns the
    writer, which has to be flushed when it calls `on_pending`.
    """
    logging.addLevelName(NOTICE, "NOTICE")
    frame: Callable[[logging.LogRecord, str], str]
    frame = _line if format_name == "json" else _text_line
    handler = _Handler(_syslog_frame if to_syslog else frame)
    handler.setFormatter(_make_json() if format_name == "json" else _Message())
    if to_syslog:
        sink = Syslog(syslog_socket or find_syslog())
        writer = BoundedWriter(sink, handler.describe_loss)
    else:
        writer = open_stderr(handler.describe_loss)
    handler.writer = writer
    set_level(level)
    for name in _LOGGERS:
        log = logging.getLogger(name)
        log.propagate = False
        for old in log.handlers:
            old.close()
        log.handlers[:] = [handler]
    return writer


def set_level(level: str) -> None:
    """Log messages from this level on, one of `LEVELS`."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(LEVELS[level])


def open_stderr(describe_loss: Callable[[int], bytes] | None = None) -> BoundedWriter:
    """Return a writer to stderr; lines are lost if stderr has no reader."""
    return BoundedWriter(
        open_descriptor(_STDERR_FD), describe_loss or _count_lines, keeps_unreachable=False
    )


def log_uncaught() -> None:
    """Log uncaught exceptions: Python's own hooks would block on a stderr that is not read.

    What memory does not suffice for is not logged: Python prints the exceptions of its hooks.
    """
    log = logging.getLogger("mogstored")

    def of_thread(args: threading.ExceptHookArgs) -> None:
        try:
            name = args.thread.name if args.thread else "?"
            info = (args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
            log.critical("thread %s failed", name, exc_info=info)
        except MemoryError:
            pass

    def of_finalizer(args: sys.UnraisableHookArgs) -> None:
        try:
            info = (args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
            log.error("%s", args.err_msg or "an exception was ignored", exc_info=info)
        except MemoryError:
            pass

    threading.excepthook = of_thread
    sys.unraisablehook = of_finalizer


class _Handler(logging.Handler):
    """Formats records, and the notice of lost messages, for a `BoundedWriter`."""

    writer: BoundedWriter

    def __init__(self, frame: Callable[[logging.LogRecord, str], str]) -> None:
        super().__init__()
        self._frame = frame

    def emit(self, record: logging.LogRecord) -> None:
        try:
            try:
                message = self._bytes(record)
            except (TypeError, ValueError) as error:
                # The default would print it, and block on a stderr that is not read.
                record.msg, record.args = f"cannot format a message: {record.msg}: {error}", None
                message = self._bytes(record)
        except Exception:
            # MemoryError, for example: the caller does not fail because a line is lost.
            self.writer.note_loss()
            return
        self.writer.write(message)

    def close(self) -> None:
        super().close()
        self.writer.close()

    def describe_loss(self, count: int) -> bytes:
        return self._bytes(
            logging.LogRecord("mogstored", logging.WARNING, "", 0, LOSS, (count,), None)
        )

    def _bytes(self, record: logging.LogRecord) -> bytes:
        return self._frame(record, self.format(record)).encode("utf-8", "backslashreplace")


def _count_lines(count: int) -> bytes:
    return b"%d lines were lost\n" % count


def _line(_record: logging.LogRecord, message: str) -> str:
    return message + "\n"


class _Message(logging.Formatter):
    """The message on one line, and below it the lines of a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:
        return "\n".join(map(printable, super().formatException(ei).split("\n")))


def _text_line(record: logging.LogRecord, message: str) -> str:
    return f"{IDENT}[{record.process}]: {message}\n"


def _syslog_frame(record: logging.LogRecord, message: str) -> str:
    """Return the line in the format of syslog(3) with LOG_PID."""
    severity = _SEVERITIES.get(record.levelno, _SEVERITIES[logging.WARNING])
    return f"<{_FACILITY_DAEMON + severity}>{IDENT}[{record.process}]: {message}"


def _make_json() -> logging.Formatter:
    # Late: a library that a log of text does not need.
    from mogstored.log.json_lines import JsonLines

    return JsonLines(IDENT, _Message())
