"""Errors of one device's disk, counted until they are too many.

A file counts once: a client that asks for a damaged one again and again says nothing new about
the disk.
"""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass
from time import monotonic

from mogstored.config.model import Config
from mogstored.devices.sickness.standing import Standing
from mogstored.log.printable import reason

# Of a disk, its connection, or a file system that is damaged; the last ones are Linux's names for
# a checksum or a structure that is wrong.
_OF_A_SICK_DISK = frozenset(
    {errno.EIO, errno.ENXIO, errno.EROFS, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}
)
_READING = frozenset({"read", "digest"})


@dataclass(slots=True)
class ErrorLimits:
    """How many files may fail within a time; 0 for any number.

    **Threads:** read by all; each attribute is replaced as a whole.
    """

    error_write_limit: int = 0
    error_read_limit: int = 0
    window_s: float = 60.0

    def apply(self, config: Config) -> None:
        """Use those of a configuration from now on."""
        self.error_write_limit = config.error_write_limit
        self.error_read_limit = config.error_read_limit
        self.window_s = config.error_window_s


NO_LIMITS = ErrorLimits()


class Symptoms:
    """The errors of late, by file, of reading and of all else.

    **Threads:** any. `_lock` guards the times: errors are rare.
    """

    __slots__ = ("_limits", "_lock", "_reading", "_writing")

    def __init__(self, limits: ErrorLimits = NO_LIMITS) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        # When each file has failed last, the oldest first.
        self._reading: dict[bytes, float] = {}
        self._writing: dict[bytes, float] = {}

    def note(self, operation: str, path: bytes, error: OSError) -> tuple[Standing, str] | None:
        """Count an error; return what it makes of the device, and why, if it is one too many."""
        if error.errno not in _OF_A_SICK_DISK:
            return None
        limits, is_read = self._limits, operation in _READING
        most = limits.error_read_limit if is_read else limits.error_write_limit
        if not most:
            return None
        with self._lock:
            failed = self._reading if is_read else self._writing
            now = monotonic()
            failed.pop(path, None)
            failed[path] = now
            while now - next(iter(failed.values())) > limits.window_s:
                del failed[next(iter(failed))]
            if len(failed) < most:
                return None
            failed.clear()
        kind, standing = ("read", Standing.DOWN) if is_read else ("write", Standing.NO_WRITES)
        return standing, f"{most} {kind} errors in {limits.window_s:g} s, last {reason(error)}"

    def forget(self) -> None:
        """Begin anew: the device is used again."""
        with self._lock:
            self._reading.clear()
            self._writing.clear()
