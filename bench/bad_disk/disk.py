"""What each operation of the kernel does to the memory."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from bench.bad_disk import wire
from bench.bad_disk.memory import Memory

if TYPE_CHECKING:
    from bench.bad_disk.memory import Inode
    from bench.bad_disk.wire import Request

# 1 GiB, of which nothing is refused.
_BLOCKS = 1 << 18
_INODES = 1 << 20

# What a request to change attributes means to change.
_WITH_MODE, _WITH_UID, _WITH_GID, _WITH_SIZE = 1, 2, 4, 8
_WITH_MTIME, _WITH_MTIME_NOW = 32, 256


class Disk:
    """A disk's contents; `perform` finds the method that is named as the operation is."""

    def __init__(self) -> None:
        self._memory = Memory()

    def knows(self, operation: str) -> bool:
        """Say whether it does that at all; the kernel does without what it does not."""
        return bool(operation) and hasattr(self, f"_{operation}")

    def perform(self, request: Request) -> bytes:
        """Do what is asked for, and return the payload of the answer.

        **Raises:** `OSError`, which is the answer then.
        """
        if not self.knows(request.name):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        payload: bytes = getattr(self, f"_{request.name}")(request)
        return payload

    def _init(self, request: Request) -> bytes:
        return wire.init_out(request)

    def _lookup(self, request: Request) -> bytes:
        return self._entry(self._memory.lookup(request.node, *request.names()))

    def _forget(self, request: Request) -> bytes:
        self._memory.forget(request.node, *wire.FORGET.unpack_from(request.body))
        return b""

    def _batch_forget(self, request: Request) -> bytes:
        for node, times in wire.FORGET_ONE.iter_unpack(request.body[wire.BATCH.size :]):
            self._memory.forget(node, times)
        return b""

    def _getattr(self, request: Request) -> bytes:
        return wire.attr_out(self._memory.inode(request.node))

    def _setattr(self, request: Request) -> bytes:
        numbers = wire.SETATTR.unpack_from(request.body)
        valid, size, mtime_s = numbers[0], numbers[2], numbers[5]
        mtime_ns, mode, uid, gid = numbers[8], numbers[10], numbers[12], numbers[13]
        inode = self._memory.inode(request.node)
        if valid & _WITH_SIZE:
            self._memory.truncate(request.node, size)
        if valid & _WITH_MODE:
            inode.mode = mode
        if valid & _WITH_UID:
            inode.uid = uid
        if valid & _WITH_GID:
            inode.gid = gid
        inode.touch(content=bool(valid & _WITH_MTIME_NOW))
        if valid & _WITH_MTIME and not valid & _WITH_MTIME_NOW:
            inode.mtime_ns = mtime_s * 10**9 + mtime_ns
        return wire.attr_out(inode)

    def _mkdir(self, request: Request) -> bytes:
        mode, _umask = wire.MODE.unpack_from(request.body)
        (name,) = request.names(wire.MODE)
        return self._entry(self._make(request, name, stat.S_IFDIR | mode))

    def _create(self, request: Request) -> bytes:
        _flags, mode, _umask, _ = wire.CREATE.unpack_from(request.body)
        (name,) = request.names(wire.CREATE)
        return self._entry(self._make(request, name, stat.S_IFREG | mode)) + wire.OPENED

    def _unlink(self, request: Request) -> bytes:
        self._memory.remove(request.node, *request.names())
        return b""

    _rmdir = _unlink

    def _rename(self, request: Request) -> bytes:
        (target,) = wire.RENAME.unpack_from(request.body)
        old, new = request.names(wire.RENAME)
        self._memory.rename(request.node, old, target, new)
        return b""

    def _rename2(self, request: Request) -> bytes:
        target, flags, _ = wire.RENAME2.unpack_from(request.body)
        if flags:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        old, new = request.names(wire.RENAME2)
        self._memory.rename(request.node, old, target, new)
        return b""

    def _open(self, _request: Request) -> bytes:
        return wire.OPENED

    _opendir = _open

    def _read(self, request: Request) -> bytes:
        _, offset, size, *_ = wire.READ_WRITE.unpack_from(request.body)
        return self._memory.read(request.node, offset, size)

    def _write(self, request: Request) -> bytes:
        _, offset, size, *_ = wire.READ_WRITE.unpack_from(request.body)
        self._memory.write(request.node, offset, request.body[wire.READ_WRITE.size :])
        return wire.MODE.pack(size, 0)

    def _readdir(self, request: Request) -> bytes:
        _, offset, size, *_ = wire.READ_WRITE.unpack_from(request.body)
        directory = self._memory.inode(request.node)
        entries = [(b".", directory.number, directory.mode), (b"..", 1, directory.mode)]
        for name, number in directory.entries.items():
            entries.append((name, number, self._memory.inode(number).mode))
        return wire.directory_out(entries, offset, size)

    def _statfs(self, _request: Request) -> bytes:
        used = -(-self._memory.size() // wire.BLOCK)
        free_inodes = _INODES - self._memory.count()
        return wire.statfs_out((_BLOCKS, _BLOCKS - used), (_INODES, free_inodes))

    def _nothing(self, _request: Request) -> bytes:
        return b""

    _flush = _fsync = _fsyncdir = _release = _releasedir = _destroy = _nothing

    def _make(self, request: Request, name: bytes, mode: int) -> Inode:
        return self._memory.make(request.node, name, mode, request.uid, request.gid)

    def _entry(self, inode: Inode) -> bytes:
        inode.known += 1
        return wire.entry_out(inode)
