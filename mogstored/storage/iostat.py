"""Read what iostat prints: reports of one line a disk, the utilization in the last column.

Headers, banners and CPU tables differ between systems and versions, but none of their lines
begins with a name and ends in a number. So every line that does is a disk's, and any other
line ends the report that has begun.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_DISK = re.compile(rb"[ \t]*([^ \t]+)[ \t](?:.*[ \t])?([0-9.]+)[ \t]*", re.DOTALL)
# The line below the CPU table's header begins with a number, and no disk does that.
_NUMBER = re.compile(rb"[0-9.]+")

MAX_NAME = 71
MAX_VALUE = 7
# Stands for a value that is not known, or too long to be true.
UNKNOWN = "-"

# No line of a disk is longer; the rest of a longer one need not be kept.
_MAX_LINE = 8192


class IostatParser:
    """Turns the output of one run of iostat into reports; a new run needs a new parser."""

    def __init__(self) -> None:
        self._line = b""
        self._values: dict[str, str] = {}
        self._begun = False

    def feed(self, piece: bytes) -> list[Mapping[str, str]]:
        """Take the next piece of output, cut anywhere; return the reports it completes."""
        reports: list[Mapping[str, str]] = []
        *lines, last = piece.split(b"\n")
        for line in lines:
            self._take(self._line + line, reports)
            self._line = b""
        self._line = (self._line + last)[: _MAX_LINE + 1]
        return reports

    def _take(self, line: bytes, reports: list[Mapping[str, str]]) -> None:
        found = _DISK.fullmatch(line) if len(line) <= _MAX_LINE else None
        if found is None or _NUMBER.fullmatch(found[1]):
            if self._begun:
                reports.append(self._values)
                self._values = {}
                self._begun = False
            return
        self._begun = True
        name = found[1].removesuffix(b":")
        if name and len(name) <= MAX_NAME:
            value = found[2].decode("ascii")
            self._values[os.fsdecode(name)] = value if len(value) <= MAX_VALUE else UNKNOWN
