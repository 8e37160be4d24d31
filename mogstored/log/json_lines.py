"""Lines of the log as JSON objects. Loaded for `log_format = json` only: it takes 2 MiB."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

try:
    from pythonjsonlogger.json import JsonFormatter
except ImportError:
    # Before 3.1.
    from pythonjsonlogger.jsonlogger import JsonFormatter

from mogstored.log.printable import printable

# Whatever this version of Python puts into a record by itself.
_OF_EVERY_RECORD = (*logging.makeLogRecord({}).__dict__, "asctime", "message")


class JsonLines(JsonFormatter):  # type: ignore[misc]
    """Formats a record with `time`, `ident`, `pid`, `level`, `message`, and its extra fields.

    `text` makes the message, with a traceback below it. Clients choose parts of it and of the
    fields, so all are made printable.
    """

    def __init__(self, ident: str, text: logging.Formatter) -> None:
        super().__init__(reserved_attrs=_OF_EVERY_RECORD)
        self._ident = ident
        self._text = text

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, _message_dict: dict[str, Any]
    ) -> None:
        time = datetime.fromtimestamp(record.created, UTC)
        log_data |= {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ident": self._ident,
            "pid": record.process,
            "level": record.levelname.lower(),
        }
        # Without what it knows of exceptions: the message has them.
        super().add_fields(log_data, record, {})
        for name, value in log_data.items():
            if isinstance(value, str):
                log_data[name] = printable(value)
        log_data["message"] = self._text.format(record)
