"""The log lines of disks that fail, as many as an operator reads.

Clients cause them as often as they like: one line per device and errno in 5 s. The next line of
its kind says how many there would have been; if there is none, a line of its own does.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import NamedTuple, Protocol

from mogstored.log.printable import error_name, reason
from mogstored.log.rate_limit import KeyedRateLimiter, more

_log = logging.getLogger("mogstored")

_INTERVAL_S = 5.0

# Of a path that names nothing, or what is no file: a socket, a FIFO, on Linux or FreeBSD.
OF_THE_REQUEST = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.EOPNOTSUPP})


class NotMounted(OSError):
    """A device that must be mounted is not."""

    def __init__(self) -> None:
        super().__init__(errno.ENODEV, "not mounted")


class DeviceDown(OSError):
    """A device whose disk is not to be touched; the log has said so."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "down")


class Disk(Protocol):
    """A device, as far as its errors are about it."""

    path: str
    name: bytes

    def note_error(self, attempt: Attempt, error: OSError) -> None:
        """Count an error, and learn from it."""


class Attempt(NamedTuple):
    """What failed: a client's request, and what it wanted from a disk.

    `operation` is one of read, write, delete and digest; `name` is the client's word for it, such
    as `PUT` or `size`.
    """

    operation: str
    name: str
    path: bytes
    client: str


class _Kind(NamedTuple):
    """What shares a limit."""

    disk: str
    device: str
    what: str
    name: str


_lines: KeyedRateLimiter[_Kind] = KeyedRateLimiter(_INTERVAL_S)


def report(error: OSError, disk: Disk, attempt: Attempt) -> None:
    """Count an error of the disk, and log it if it is not one too many of its kind."""
    if isinstance(error, DeviceDown):
        return
    disk.note_error(attempt, error)
    name = error_name(error)
    if (ending := _ending(disk, reason(error), name)) is not None:
        _log.error(
            "%s /%s from %s failed: %s%s",
            *(attempt.name, _shown(attempt.path), attempt.client, reason(error), ending),
            extra=_fields(disk, attempt, name),
        )


def report_reading(error: OSError, disk: Disk, attempt: Attempt) -> None:
    """Report an error of reading a file, unless the path is to blame."""
    if error.errno not in OF_THE_REQUEST:
        report(error, disk, attempt)


def report_shrunk(disk: Disk, attempt: Attempt, missing: int) -> None:
    """Log that a file became shorter while it was sent, with the same limit."""
    if (ending := _ending(disk, "a file shrank", "")) is not None:
        what = f"{missing} bytes are missing{ending}"
        _log.error(
            "/%s shrank while it was sent to %s: %s",
            *(_shown(attempt.path), attempt.client, what),
            extra=_fields(disk, attempt, ""),
        )


def log_left_out() -> None:
    """Log what was left out of the log more than 5 s ago; called once a second."""
    for kind, count in _lines.overdue():
        _log.error(
            "%s: %d more such errors since the last line: %s",
            *(kind.disk, count, kind.what),
            extra={"device": kind.device, "path": kind.disk, "errno": kind.name},
        )


def _ending(disk: Disk, what: str, name: str) -> str | None:
    """Return how the line ends that is due for this device; None if none is."""
    skipped = _lines.skipped(_Kind(disk.path, disk.name.decode("ascii"), what, name))
    return None if skipped is None else more(skipped, " of this device")


def _fields(disk: Disk, attempt: Attempt, name: str) -> dict[str, str]:
    fields = {
        "device": disk.name.decode("ascii"),
        "path": f"/{_shown(attempt.path)}",
        "client": attempt.client,
        "operation": attempt.operation,
    }
    return {**fields, "errno": name} if name else fields


def _shown(path: bytes) -> str:
    return os.fsdecode(path)
