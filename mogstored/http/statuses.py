"""The answer to a system call that failed, by what it was for.

404 says that a file is certainly not there: a tracker forgets the copy then. So an error of the
disk or of resources is never a 404.
"""

from __future__ import annotations

import errno
import logging

from mogstored.files.disk_errors import OF_THE_REQUEST, Attempt, Disk, NotMounted, report
from mogstored.files.names import device_name
from mogstored.log.rate_limit import BurstLimiter, KeyedRateLimiter, more

_log = logging.getLogger("mogstored")

_MISSING = {errno.ENOENT: 404, errno.ENOTDIR: 404}
_DENIED = {errno.EACCES: 403, errno.EPERM: 403}
_FULL = {errno.ENOSPC: 507, errno.EFBIG: 507, errno.ERANGE: 507, errno.EDQUOT: 507}

READ = {
    **_MISSING,
    **_DENIED,
    errno.ELOOP: 403,
    # A socket, or a device without a driver.
    errno.ENXIO: 403,
    errno.EOPNOTSUPP: 403,
}
DELETE = {**_MISSING, **_DENIED, errno.EISDIR: 403, errno.EROFS: 403}
CREATE = {
    **_DENIED,
    **_FULL,
    errno.ENOENT: 404,
    errno.EROFS: 403,
    errno.EINVAL: 400,
}
WRITE = _FULL

# These answers are about the request, and so is a 403 for a name that is no file's. All others,
# the 403 of a read-only disk among them, are for the operator to know.
_EXPECTED = frozenset({400, 404})
_NO_FILE = OF_THE_REQUEST | {errno.EISDIR}

# A client causes these lines as often as it likes.
_aborted_paths: KeyedRateLimiter[bytes] = KeyedRateLimiter(interval_s=1.0)
_aborted = BurstLimiter(burst=100, interval_s=1.0)
_mismatches = BurstLimiter(burst=20, interval_s=1.0)


def status_of(error: OSError, table: dict[int, int], disk: Disk, attempt: Attempt) -> int:
    """Return the answer to `error`, and report it if the disk is to blame."""
    status = table.get(error.errno or 0, 500)
    if isinstance(error, NotMounted) and table is CREATE:
        # The tracker tries another device.
        status = 507
    is_no_file = status == 403 and error.errno in _NO_FILE
    if status not in _EXPECTED and not is_no_file:
        report(error, disk, attempt)
    return status


def report_lost(path: bytes, peer: str, received: int, reason: str, silence: int | None) -> None:
    """Log that a client went away during its PUT, `silence` ms after its last byte.

    A network fails for many clients at once, so there are up to 100 lines in a burst; for one
    path there is one line a second.
    """
    if (again := _aborted_paths.skipped(path)) is None or (others := _aborted.skipped()) is None:
        return
    name = path.decode("ascii")
    reason += more(again + others)
    fields = _fields(path, peer)
    _log.error(
        "PUT /%s failed from %s after %d bytes: %s",
        *(name, peer, received, reason),
        extra=fields,
    )
    if silence is not None:
        _log.error("last_data_recv=%dms from %s for PUT /%s", silence, peer, name, extra=fields)


def report_mismatch(path: bytes, peer: str, actual: bytes, promised: bytes) -> None:
    """Log that a body has another MD5 than its client promised; both in base64.

    There are up to 20 lines in a burst, then one a second.
    """
    if is_probe(path):
        _log.debug("%s tries a wrong Content-MD5 on /%s", peer, path.decode("ascii"))
        return
    if (others := _mismatches.skipped()) is None:
        return
    said = promised.decode("ascii") or "none"
    _log.warning(
        "PUT /%s from %s: Content-MD5 is %s, but the MD5 of the body %s%s",
        *(path.decode("ascii"), peer, said, actual.decode("ascii"), more(others)),
        extra=_fields(path, peer),
    )


def is_probe(path: bytes) -> bool:
    """Say whether trackers store this with a wrong MD5 on purpose, to see if the node rejects it.

    They do so in each round of their monitor.
    """
    return path.endswith(b"/test-write/test-md5")


def _fields(path: bytes, peer: str) -> dict[str, str]:
    return {
        "device": device_name(path).decode("ascii"),
        "path": f"/{path.decode('ascii')}",
        "client": peer,
        "operation": "write",
    }
