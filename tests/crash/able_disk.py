"""The process behind a disk that also makes files without a name, and keeps attributes.

python -m tests.crash.able_disk DIRECTORY [nameless]
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING

from bench.bad_disk import wire
from bench.bad_disk.disk import Disk
from bench.bad_disk.server import serve

if TYPE_CHECKING:
    from bench.bad_disk.wire import Request

_LINK = struct.Struct("=Q")
_SIZE = struct.Struct("=II")


class AbleDisk(Disk):
    """With attributes; its files can be linked, and those without a name made, if it is so."""

    def __init__(self, *, makes_nameless: bool) -> None:
        super().__init__()
        self._makes_nameless = makes_nameless
        self._attributes: dict[tuple[int, bytes], bytes] = {}

    def knows(self, operation: str) -> bool:
        return super().knows(operation) and (self._makes_nameless or operation != "tmpfile")

    def _tmpfile(self, request: Request) -> bytes:
        _flags, mode, _umask, _ = wire.CREATE.unpack_from(request.body)
        inode = self._memory.make_nameless(stat.S_IFREG | mode, request.uid, request.gid)
        return self._entry(inode) + wire.OPENED

    def _link(self, request: Request) -> bytes:
        (number,) = _LINK.unpack_from(request.body)
        return self._entry(self._memory.link(number, request.node, *request.names(_LINK)))

    def _setxattr(self, request: Request) -> bytes:
        size, _flags = _SIZE.unpack_from(request.body)
        name, _, value = request.body[_SIZE.size :].partition(b"\0")
        self._attributes[request.node, name] = value[:size]
        return b""

    def _getxattr(self, request: Request) -> bytes:
        (room, _), (name,) = _SIZE.unpack_from(request.body), request.names(_SIZE)
        value = self._attributes.get((request.node, name))
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return value if room else _SIZE.pack(len(value), 0)

    def _removexattr(self, request: Request) -> bytes:
        (name,) = request.names()
        if self._attributes.pop((request.node, name), None) is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return b""


if __name__ == "__main__":
    serve(sys.argv[1], AbleDisk(makes_nameless="nameless" in sys.argv[2:]))
