"""How foreign names and errors are shown on stderr, in the log, and by `--check-config`.

File names, options and lines of files are bytes to the system. Python keeps bytes that are not
UTF-8 as lone surrogates, which strict streams, syslog and JSON readers refuse.
"""

from __future__ import annotations

import errno

# What `os.fsdecode` makes of bytes 0x80 to 0xff that are not UTF-8 (PEP 383).
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
_BYTE = 0xDC00


def printable(text: str) -> str:
    r"""Return one line that every stream accepts: `\xe9` for a byte, `\n` for a line end."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def reason(error: OSError) -> str:
    """Return the text of an error and its name, as in `Permission denied (EACCES)`."""
    if error.errno is None:
        return str(error)
    return f"{error.strerror} ({error_name(error)})"


def error_name(error: OSError) -> str:
    """Return the name of an error: `EIO`, its number where the system has none, or ``."""
    return "" if error.errno is None else errno.errorcode.get(error.errno, str(error.errno))


def _escape(char: str) -> str:
    if _FIRST_BYTE <= ord(char) <= _LAST_BYTE:
        return f"\\x{ord(char) - _BYTE:02x}"
    return ascii(char)[1:-1]
