"""Extended attributes of open files: values that a file system keeps beside a file's content.

Linux and FreeBSD have them under calls of different names. What Linux calls `user.NAME` is NAME in
FreeBSD's namespace of users; names here are without `user.` on both. A system without them, or
without a known call, answers as a file system without them does: EOPNOTSUPP.
Sources: https://man7.org/linux/man-pages/man7/xattr.7.html
https://man.freebsd.org/cgi/man.cgi?query=extattr_set_fd
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os

# The calls of Linux; Python has no others.
_ON_LINUX = hasattr(os, "setxattr")

# FreeBSD, sys/extattr.h and sys/errno.h.
_NAMESPACE_USER = 1
_ENOATTR = 87
_MISSING = frozenset({getattr(errno, "ENODATA", _ENOATTR), _ENOATTR})

_MAX_SIZE = 4096


def set_attribute(fd: int, name: str, value: bytes) -> None:
    """Give the open file an attribute, or another value of it.

    **Raises:** `OSError`; EOPNOTSUPP where the file system has none, ENOSPC without room for it.
    """
    if _ON_LINUX:
        os.setxattr(fd, f"user.{name}", value)
        return
    _call("extattr_set_fd", fd, name, value, len(value))


def get_attribute(fd: int, name: str) -> bytes | None:
    """Return a value of up to 4 KiB; None if the file has no such attribute.

    **Raises:** `OSError`; EOPNOTSUPP where the file system has none.
    """
    try:
        if _ON_LINUX:
            return os.getxattr(fd, f"user.{name}")
        buffer = ctypes.create_string_buffer(_MAX_SIZE)
        size = _call("extattr_get_fd", fd, name, buffer, _MAX_SIZE)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise
    return buffer.raw[:size]


def remove_attribute(fd: int, name: str) -> bool:
    """Remove an attribute; False if the file has no such attribute.

    **Raises:** `OSError`; EOPNOTSUPP where the file system has none.
    """
    try:
        if _ON_LINUX:
            os.removexattr(fd, f"user.{name}")
        else:
            _call("extattr_delete_fd", fd, name)
    except OSError as error:
        if error.errno in _MISSING:
            return False
        raise
    return True


def _call(function: str, fd: int, name: str, *rest: object) -> int:
    """Call one of FreeBSD's functions; return what it returns."""
    call = getattr(_library(), function, None)
    if call is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    call.restype = ctypes.c_ssize_t
    sizes = [ctypes.c_size_t(each) if isinstance(each, int) else each for each in rest]
    result = int(call(fd, _NAMESPACE_USER, name.encode(), *sizes))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
