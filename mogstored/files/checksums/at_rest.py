"""Checksums at rest: the digest of a file's content, in extended attributes of the file.

`user.mogstored.md5` has the MD5 in hex, `user.mogstored.sha256` the SHA-256 in base64: ext4 has
room for 92 bytes beside an inode of 256, names included, and takes a block of the disk for more.

A checksum is written before the file gets its name, and is removed before the first byte of a file
is changed in place. So at any time it is that of the whole file, or is not there.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import logging
import os
import stat
from collections.abc import Mapping
from time import monotonic

from mogpoll.system.attributes import get_attribute, remove_attribute, set_attribute
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

ALGORITHMS = ("md5", "sha256")
SIZES = {"md5": 16, "sha256": 32}
_NAMES = {"md5": "mogstored.md5", "sha256": "mogstored.sha256"}
# Which digest each value of `checksum_at_rest` has computed for every file.
_FOR_EVERY_FILE = {"none": None, "auto": None, "md5": "md5", "sha256": "sha256"}

_ABSENT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})
# The file system has no attributes, or none for us.
_REFUSALS = _ABSENT | {errno.EPERM, errno.EACCES}
# It has no room for this one.
_SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.E2BIG, errno.ERANGE})
# A device that has refused is asked again so much later: another disk may be mounted there.
_RETRY_S = 600.0


class BadChecksum(ValueError):
    """An attribute that is no digest: `args` are the algorithm and the value."""


class ChecksumsAtRest:
    """What is written for the files of a docroot.

    **Threads:** any. `_refused` is used by single dict operations.
    """

    def __init__(self, rule: str = "auto", root: str = "") -> None:
        """`root` is the path of the docroot, for the log."""
        self._root = root
        self.for_every_file = _FOR_EVERY_FILE[rule]
        """The digest that is computed for each upload, if there is one."""
        self.keeps_md5 = rule == "auto"
        """Whether an MD5 that was computed for the client is kept."""
        # By device, when to try again.
        self._refused: dict[bytes, float] = {}

    def keep(self, fd: int, path: bytes, digests: Mapping[str, bytes]) -> None:
        """Write what is to be kept of the digests of a new file that will be at `path`.

        **Raises:** `OSError` of a disk that fails.
        """
        algorithm = "md5" if self.keeps_md5 else self.for_every_file
        if algorithm is None or algorithm not in digests:
            return
        device = path.partition(b"/")[0]
        if self._refused and self._refused.get(device, 0.0) > monotonic():
            return
        try:
            write(fd, algorithm, digests[algorithm])
        except OSError as error:
            if error.errno not in _REFUSALS | _SHORTAGES:
                raise
            self._note_refusal(device, error)

    def keep_of(self, fd: int, path: bytes, content: bytes | memoryview) -> None:
        """Do the same for a file whose whole content is at hand, if each file has a digest."""
        algorithm = self.for_every_file
        if algorithm is not None:
            digest = hashlib.new(algorithm, content, usedforsecurity=False).digest()
            self.keep(fd, path, {algorithm: digest})

    def _note_refusal(self, device: bytes, error: OSError) -> None:
        """Log the first of a device."""
        is_new = device not in self._refused
        is_lasting = error.errno in _REFUSALS
        self._refused[device] = monotonic() + _RETRY_S if is_lasting else 0.0
        if is_new:
            path = os.path.join(self._root, os.fsdecode(device))
            _log.warning("%s does not keep checksums beside its files: %s", path, reason(error))


def write(fd: int, algorithm: str, digest: bytes) -> None:
    """Write a checksum of the open file. **Raises:** `OSError`."""
    set_attribute(fd, _NAMES[algorithm], encode(algorithm, digest))


def read(fd: int) -> dict[str, bytes]:
    """Return the checksums of the open file, by algorithm; none where there can be none.

    **Raises:** `BadChecksum`, `OSError`.
    """
    found = {}
    for algorithm in ALGORITHMS:
        try:
            value = get_attribute(fd, _NAMES[algorithm])
        except OSError as error:
            if error.errno in _ABSENT:
                return {}
            raise
        if value is not None:
            found[algorithm] = _decode(algorithm, value)
    return found


def remove(fd: int) -> bool:
    """Remove the checksums of the open file; False if there were none. **Raises:** `OSError`."""
    try:
        removed = [remove_attribute(fd, _NAMES[algorithm]) for algorithm in ALGORITHMS]
    except OSError as error:
        # A pipe or a device cannot have any: EPERM.
        if error.errno in _ABSENT or not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        raise
    return any(removed)


def encode(algorithm: str, digest: bytes) -> bytes:
    """Return the value of the attribute."""
    return binascii.hexlify(digest) if algorithm == "md5" else base64.b64encode(digest)


def _decode(algorithm: str, value: bytes) -> bytes:
    try:
        digest = binascii.unhexlify(value) if algorithm == "md5" else base64.b64decode(value)
    except ValueError:
        digest = b""
    # Only what we write: no other base64, no capitals.
    if len(digest) != SIZES[algorithm] or encode(algorithm, digest) != value:
        raise BadChecksum(algorithm, value)
    return digest
