"""Errors that lack of memory leads to, and errors that look like them."""

from __future__ import annotations

import errno

from mogstored.config.model import ConfigError


def _caused_by(error: Exception, cause: Exception) -> Exception:
    error.__context__ = cause
    error.__suppress_context__ = True
    return error


_NO_MEMORY = OSError(errno.ENOMEM, "Cannot allocate memory")

SHORTAGES = [
    MemoryError(),
    _NO_MEMORY,
    ImportError("libx.so: failed to map segment from shared object"),
    SystemError("<function> returned NULL without exception set"),
    SystemError("<function> returned NULL without setting an exception"),
    _caused_by(ConfigError("docroot /var/mogdata: Cannot allocate memory"), _NO_MEMORY),
]
FAULTS = [
    OSError(errno.ENOENT, "No such file or directory"),
    ImportError("No module named 'x'"),
    SystemError("bad argument to internal function"),
    ValueError("without exception set"),
    _caused_by(ValueError("x"), OSError(errno.ENOENT, "No such file or directory")),
]
