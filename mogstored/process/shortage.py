"""Whether memory ran out, or the program has a fault.

`mogstored.cli` needs it before there is memory to import much: this module imports little.
"""

from __future__ import annotations

import errno

TOO_LITTLE_MEMORY = "too little memory; raise the limit (MemoryMax=, ulimit -v)"

# The dynamic loader's words about a library it cannot map, and CPython's where its compiler finds
# no memory.
_REPORTS = ("failed to map segment", "without exception set", "without setting an exception")


def is_too_little_memory(error: BaseException | None) -> bool:
    """Return whether lack of memory is the error, or what led to it."""
    while error is not None:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(error, (ImportError, SystemError)):
            words = str(error)
            if any(report in words for report in _REPORTS):
                return True
        error = error.__cause__ or error.__context__
    return False
