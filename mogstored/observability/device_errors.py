"""The errors of a device's disk, counted by what was tried and how it failed."""

from __future__ import annotations

import errno
import threading

# Of a path that names nothing, or not what is asked for; and shortages of the process.
_NOT_OF_THE_DISK = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EOPNOTSUPP),
        *(errno.ENAMETOOLONG, errno.EINVAL, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    }
)


class DeviceErrors:
    """**Threads:** any. `_lock` guards the counts: errors are rare."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def note(self, operation: str, error: OSError) -> None:
        """Count an error, if it is one of the disk."""
        number = error.errno or errno.EIO
        if number in _NOT_OF_THE_DISK:
            return
        key = operation, errno.errorcode.get(number, str(number))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the counts by operation and the name of the errno."""
        with self._lock:
            return self._counts.copy()
