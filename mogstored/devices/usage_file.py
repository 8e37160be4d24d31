"""Write a device's usage file whole: no reader ever sees half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_NAME = b"usage"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

# Until a file is complete, no other user opens it.
_UNFINISHED_MODE = 0o600


def is_unwanted(device_fd: int) -> bool:
    """Say whether the operator has put a file without any permission in its place.

    That spares a flash disk a write every few seconds.
    """
    try:
        found = os.stat(_NAME, dir_fd=device_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and not found.st_mode & 0o777


def write_usage(device_fd: int, text: bytes, mode: int) -> None:
    """Replace the usage file in the directory `device_fd` by `text`, all at once.

    The temporary name has the PID in it: other workers and an upgraded node may write too.

    **Raises:** `OSError`; the old file stays then, and the temporary one is removed.
    """
    temporary = b"%b.%x" % (_NAME, os.getpid())
    fd = _create(device_fd, temporary)
    try:
        try:
            _fill(fd, text, mode)
        finally:
            # Network file systems report a full disk on close.
            os.close(fd)
        os.rename(temporary, _NAME, src_dir_fd=device_fd, dst_dir_fd=device_fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=device_fd)
        raise


def _create(device_fd: int, temporary: bytes) -> int:
    try:
        return os.open(temporary, _CREATE, _UNFINISHED_MODE, dir_fd=device_fd)
    except FileExistsError:
        # Left by a process that had this PID.
        os.unlink(temporary, dir_fd=device_fd)
    return os.open(temporary, _CREATE, _UNFINISHED_MODE, dir_fd=device_fd)


def _fill(fd: int, text: bytes, mode: int) -> None:
    if os.write(fd, text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fchmod(fd, mode)
