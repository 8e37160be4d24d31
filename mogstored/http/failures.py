"""Which answer a failed system call deserves, by what was attempted.

404 is kept for what is certainly not there: a tracker that reads it forgets the copy. An
error of the disk or of resources is therefore never a 404.
"""

from __future__ import annotations

import errno
import logging

_log = logging.getLogger("mogstored")

_MISSING = {errno.ENOENT: 404, errno.ENOTDIR: 404}
_DENIED = {errno.EACCES: 403, errno.EPERM: 403}
_FULL = {errno.ENOSPC: 507, errno.EFBIG: 507, errno.ERANGE: 507, errno.EDQUOT: 507}

READ = {
    **_MISSING,
    **_DENIED,
    errno.ELOOP: 403,
    # A socket or a FIFO's kin cannot be opened like a file.
    errno.ENXIO: 403,
    errno.EOPNOTSUPP: 403,
}
DELETE = {**_MISSING, **_DENIED, errno.EISDIR: 403, errno.EROFS: 403}
CREATE = {**_DENIED, **_FULL, errno.ENOENT: 404, errno.EROFS: 403, errno.EINVAL: 400}
WRITE = _FULL

# Answers that say nothing of the disk's health need no line in the log.
_EXPECTED = frozenset({400, 403, 404})


def status_of(error: OSError, table: dict[int, int], path: bytes, attempt: str) -> int:
    """Return the answer for `error`; what is not the client's doing is logged."""
    status = table.get(error.errno or 0, 500)
    if status not in _EXPECTED:
        _log.error("%s /%s failed: %s", attempt, path.decode("ascii"), error.strerror)
    return status
