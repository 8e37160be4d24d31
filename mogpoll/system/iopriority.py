"""Low disk priority for one thread.

Linux keeps an I/O priority class and level per thread, set by ioprio_set(2), for which neither
the C library nor Python has a function. BFQ and mq-deadline use it, other schedulers do not.
Elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import os
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
_CLASS_IDLE = 3
_IDLE = _CLASS_IDLE << _CLASS_SHIFT

# System call numbers of ioprio_set and ioprio_get for 64-bit programs, by machine.
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
def lowered_io_priority(*, idle: bool = False) -> Iterator[None]:
    """Give the calling thread the lowest best-effort I/O priority, and restore it at the end.

    With `idle`, it reads only while nothing else does. Others wait for it then where it holds a
    lock meanwhile: that of a directory, when names are read or made. So it is for the contents of
    files.

    A real-time or idle class that was set from outside is kept. Does nothing, and raises
    nothing, where the system has no such priority.
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
    set_priority(_WHO_PROCESS, _THIS_THREAD, _IDLE if idle else _LOW)
    try:
        yield
    finally:
        set_priority(_WHO_PROCESS, _THIS_THREAD, before)


@functools.cache
def _system_calls() -> tuple[_Call, _Call] | None:
    """Return ioprio_set and ioprio_get, or None."""
    numbers = _CALL_NUMBERS.get(os.uname().machine)
    if sys.platform != "linux" or sys.maxsize < 2**32 or numbers is None:
        return None
    try:
        syscall = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return None
    # syscall is variadic: an int argument may have garbage in its upper half.
    syscall.restype = ctypes.c_long
    set_number, get_number = map(ctypes.c_long, numbers)

    def call(number: ctypes.c_long, *arguments: int) -> int:
        return int(syscall(number, *map(ctypes.c_long, arguments)))

    return functools.partial(call, set_number), functools.partial(call, get_number)
