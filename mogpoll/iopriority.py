"""Let one thread read a disk with low priority.

Linux has a class and a level of I/O priority for each thread, set by a system call that
neither the C library nor Python offers (ioprio_set(2)). Schedulers such as BFQ heed it,
others do not. Where there is nothing of the kind, nothing is done: it is a courtesy.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# linux/ioprio.h
_WHO_PROCESS = 1
_THIS_THREAD = 0
_CLASS_SHIFT = 13
_CLASS_NONE = 0
_CLASS_BEST_EFFORT = 2
_LOWEST_LEVEL = 7
_LOW = _CLASS_BEST_EFFORT << _CLASS_SHIFT | _LOWEST_LEVEL

# Numbers of ioprio_set and ioprio_get for 64-bit programs, by machine.
_CALL_NUMBERS = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "loongarch64": (30, 31),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
}

_Call = Callable[..., int]


@contextmanager
def lowered_io_priority() -> Iterator[None]:
    """Lower the priority of the calling thread's reads, and restore it at the end.

    A thread that somebody gave a real-time or an idle class keeps it.
    """
    calls = _system_calls()
    if calls is None:
        yield
        return
    set_priority, get_priority = calls
    before = get_priority(_WHO_PROCESS, _THIS_THREAD)
    # Negative for an error.
    if before < 0 or before >> _CLASS_SHIFT not in (_CLASS_NONE, _CLASS_BEST_EFFORT):
        yield
        return
    set_priority(_WHO_PROCESS, _THIS_THREAD, _LOW)
    try:
        yield
    finally:
        set_priority(_WHO_PROCESS, _THIS_THREAD, before)


@functools.cache
def _system_calls() -> tuple[_Call, _Call] | None:
    """Return ioprio_set and ioprio_get; None where they are missing."""
    numbers = _CALL_NUMBERS.get(platform.machine())
    if sys.platform != "linux" or sys.maxsize < 2**32 or numbers is None:
        return None
    try:
        syscall = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return None
    # The call is variadic: what is not given as long may have garbage in its upper half.
    syscall.restype = ctypes.c_long
    set_number, get_number = map(ctypes.c_long, numbers)

    def call(number: ctypes.c_long, *arguments: int) -> int:
        return int(syscall(number, *map(ctypes.c_long, arguments)))

    return functools.partial(call, set_number), functools.partial(call, get_number)
