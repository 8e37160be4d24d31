"""Bytes in pieces to lines, none of them longer than a command can be; no I/O."""

from __future__ import annotations

# Without the LF. The longest command that means anything is far shorter.
MAX_LINE = 496


class LineTooLong(Exception):
    """The client sends something that is no command."""


class LineBuffer:
    """What was received and not yet taken: whole lines, and perhaps the part of another."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Append what was received."""
        self._data += data

    def clear(self) -> None:
        """Drop it all."""
        self._data = b""

    def take(self) -> bytes | None:
        """Return the next line without its LF; None when it has not come whole.

        **Raises:** `LineTooLong`, however the line was cut into pieces.
        """
        end = self._data.find(b"\n")
        if (end if end >= 0 else len(self._data)) > MAX_LINE:
            raise LineTooLong
        if end < 0:
            return None
        line, self._data = self._data[:end], self._data[end + 1 :]
        return line
