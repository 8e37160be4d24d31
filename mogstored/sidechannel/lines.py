"""Pieces of bytes to lines of limited length; no I/O."""

from __future__ import annotations

# Bytes, without the LF. The longest valid command is far shorter.
MAX_LINE = 496


class LineTooLong(Exception):
    """The client sends a line that is no command."""


class LineBuffer:
    """Received bytes that were not taken yet: whole lines, and perhaps a part of another."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._data += data

    def clear(self) -> None:
        """Drop all."""
        self._data = b""

    def take(self) -> bytes | None:
        """Return the next line without its LF; None while it is incomplete.

        **Raises:** `LineTooLong`, in whatever pieces the line came.
        """
        end = self._data.find(b"\n")
        if (end if end >= 0 else len(self._data)) > MAX_LINE:
            raise LineTooLong
        if end < 0:
            return None
        line, self._data = self._data[:end], self._data[end + 1 :]
        return line
