"""Parse the output of iostat: one line per disk, the utilization in the last column (n42).

Headers, banners and CPU tables differ between systems and versions, but none of their lines
begins with a name and ends in a number. So every line that does belongs to a disk, and any other
line ends the report that has begun, unless it is a disk's with a value that is no number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_DISK = re.compile(rb"[ \t]*([^ \t]+)[ \t](?:.*[ \t])?([0-9.]+)[ \t]*", re.DOTALL)
# The line below the CPU table's header begins with a number; no disk's name is one.
_NUMBER = re.compile(rb"[0-9.]+")
# A disk's line with a value that is no number: a decimal comma, `nan`, a colour, a line end of
# Windows, a piece of JSON. Banners and times of day look like it.
_ODD = re.compile(
    rb"[ \t]*(?!Linux[ \t]|Time:[ \t])([^ \t0-9][^ \t]*)[ \t](?:.*[ \t])?"
    rb"(?:[^ \t0-9]*[0-9][^ \t]*|[-+]?(?i:nan|inf))\r?[ \t]*",
    re.DOTALL,
)

MAX_NAME = 71
MAX_VALUE = 7
# In place of a value that is unknown, or too long to be true.
UNKNOWN = "-"

# Lines before the first disk: no header and no table of processors is longer.
_MAX_OTHERS = 100
_MAX_SHOWN = 200
# Bytes. No line of a disk is longer; the rest of a longer one is dropped.
_MAX_LINE = 8192


class IostatParser:
    """Turns the output of one run of iostat into reports; a new run needs a new parser.

    `odd_line` is the first line that should be a disk's and is not understood.
    """

    def __init__(self) -> None:
        self.odd_line: str | None = None
        self._line = b""
        self._values: dict[str, str] = {}
        self._begun = False
        self._others = 0

    def feed(self, piece: bytes) -> list[Mapping[str, str]]:
        """Take the next piece of output, cut anywhere; return the reports that it completes."""
        reports: list[Mapping[str, str]] = []
        *lines, last = piece.split(b"\n")
        for line in lines:
            self._take(self._line + line, reports)
            self._line = b""
        self._line = (self._line + last)[: _MAX_LINE + 1]
        return reports

    def _take(self, line: bytes, reports: list[Mapping[str, str]]) -> None:
        found = _DISK.fullmatch(line) if len(line) <= _MAX_LINE else None
        if found is not None and not _NUMBER.fullmatch(found[1]):
            self._note(found[1], found[2].decode("ascii"))
        elif len(line) <= _MAX_LINE and (odd := _ODD.fullmatch(line)):
            self._note(odd[1], UNKNOWN)
            self._note_odd(line)
        else:
            self._end_report(line, reports)

    def _note(self, word: bytes, value: str) -> None:
        self._begun = True
        name = word.removesuffix(b":")
        if name and len(name) <= MAX_NAME:
            self._values[os.fsdecode(name)] = value if len(value) <= MAX_VALUE else UNKNOWN

    def _end_report(self, line: bytes, reports: list[Mapping[str, str]]) -> None:
        if self._begun:
            reports.append(self._values)
            self._values = {}
            self._begun = False
            self._others = 0
        elif line.strip():
            self._others += 1
            if self._others == _MAX_OTHERS:
                self._note_odd(line)

    def _note_odd(self, line: bytes) -> None:
        if self.odd_line is None:
            self.odd_line = os.fsdecode(line[:_MAX_SHOWN])
