"""Read lines of the access log as its readers do."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

# The combined format, as the grammars of log readers have it, and the node's own fields behind it.
_COMBINED = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\x[0-9A-F]{2})*)"'
    r' (?P<status>\d{3}) (?P<sent>\d+) "(?P<referer>(?:[^"\\]|\\x[0-9A-F]{2})*)"'
    r' "(?P<agent>(?:[^"\\]|\\x[0-9A-F]{2})*)" (?P<device>\S+) (?P<received>\d+)'
    r" (?P<duration>\d+\.\d{6}) (?P<waited>\d+\.\d{6}) (?P<error>[A-Z0-9]+|-)"
)


def parse_combined(line: str) -> dict[str, str]:
    """Return the fields of a line by name; texts of clients as latin-1."""
    found = _COMBINED.fullmatch(line)
    assert found, f"not a line of the access log: {line!r}"
    fields = found.groupdict()
    datetime.strptime(fields["time"], "%d/%b/%Y:%H:%M:%S %z")
    return {name: _unescape(value) for name, value in fields.items()}


def _unescape(text: str) -> str:
    return re.sub(r"\\x([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)


def parse_json(line: str) -> dict[str, Any]:
    """Return the fields of a line by name."""
    fields = json.loads(line)
    assert isinstance(fields, dict)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["time"])
    datetime.fromisoformat(fields["time"])
    return fields
