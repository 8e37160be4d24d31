"""Give memory that is free inside the process back to the system.

glibc keeps what was freed below the top of its heap, and raises its thresholds when large pieces
are freed: a process that once needed 20 MiB keeps them. Other C libraries have no such call, and
some return memory by themselves.
"""

from __future__ import annotations

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def release_free_memory() -> None:
    """Return free pages of the C library's heap to the system, where it can do that."""
    if _trim is not None:
        _trim(0)
