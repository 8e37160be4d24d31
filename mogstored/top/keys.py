"""Keys of a terminal: from bytes to names, and the mode in which each is read at once."""

from __future__ import annotations

import contextlib
import re
import termios
from collections.abc import Iterator

ESCAPE, ENTER, BACKSPACE = "escape", "enter", "backspace"
UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"

# ECMA-48 control sequences (CSI), and the short ones of keypads (SS3).
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
_BEGINNING = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?")
_MAX_PENDING = 32
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEGINNING_OF_UTF8 = re.compile(rb"[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2}")
_NAMES = {
    b"[A": UP,
    b"[B": DOWN,
    b"[H": HOME,
    b"[F": END,
    b"[1~": HOME,
    b"[4~": END,
    b"[5~": PAGE_UP,
    b"[6~": PAGE_DOWN,
    b"[7~": HOME,
    b"[8~": END,
    b"OA": UP,
    b"OB": DOWN,
    b"OH": HOME,
    b"OF": END,
    b"\r": ENTER,
    b"\n": ENTER,
    b"\x7f": BACKSPACE,
    b"\b": BACKSPACE,
    b"\x1b": ESCAPE,
}


class KeyReader:
    """Takes bytes as they come; a sequence may come in pieces."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def is_waiting(self) -> bool:
        """Whether a sequence has begun; if nothing follows soon, it was the escape key."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete: names as above, or a character each."""
        return self._take(self._pending + data, is_end=False)

    def flush(self) -> list[str]:
        """Return what was begun, as it is."""
        return self._take(self._pending, is_end=True)

    def _take(self, data: bytes, is_end: bool) -> list[str]:
        keys, self._pending = [], b""
        while data:
            size = 1
            if found := _SEQUENCE.match(data):
                size = found.end()
                keys.append(_NAMES.get(data[1:size], ""))
            elif data[0] == 0x1B and not is_end and self._is_open(data):
                self._pending = data
                break
            elif data[0] < 0x80:
                keys.append(_NAMES.get(data[:1]) or chr(data[0]))
            elif found := _UTF8.match(data):
                size = found.end()
                keys.append(found[0].decode("utf-8", "replace"))
            elif not is_end and _BEGINNING_OF_UTF8.fullmatch(data):
                self._pending = data
                break
            data = data[size:]
        # Keys without a name, and control characters, do nothing.
        return [key for key in keys if key.isprintable() and key]

    def _is_open(self, data: bytes) -> bool:
        return len(data) < _MAX_PENDING and _BEGINNING.fullmatch(data) is not None


@contextlib.contextmanager
def keys_at_once(fd: int) -> Iterator[None]:
    """Let the terminal pass on each key, unseen; signals such as Ctrl-C stay signals."""
    before = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    # Not TCSAFLUSH: what was typed ahead counts.
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        # TCSAFLUSH: what was typed and not read is for this program, not for the shell.
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
