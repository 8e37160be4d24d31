"""A tree of files and directories in memory; errors are plain `OSError`."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass, field

ROOT = 1


@dataclass(slots=True)
class Inode:
    """A file, or a directory when it has `entries`."""

    number: int
    mode: int
    uid: int
    gid: int
    links: int = 1
    # The kernel's references: lookups less forgets.
    known: int = 0
    content: bytearray = field(default_factory=bytearray)
    entries: dict[bytes, int] = field(default_factory=dict)
    mtime_ns: int = field(default_factory=time.time_ns)
    ctime_ns: int = field(default_factory=time.time_ns)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def touch(self, *, content: bool = True) -> None:
        self.ctime_ns = time.time_ns()
        if content:
            self.mtime_ns = self.ctime_ns


class Memory:
    """The tree; directories and files are named by their inode's number, the root is `ROOT`."""

    def __init__(self) -> None:
        self._inodes = {ROOT: Inode(ROOT, stat.S_IFDIR | 0o755, os.getuid(), os.getgid(), 2)}
        self._last = ROOT

    def inode(self, number: int) -> Inode:
        return self._inodes[number]

    def count(self) -> int:
        return len(self._inodes)

    def size(self) -> int:
        return sum(len(inode.content) for inode in self._inodes.values())

    def lookup(self, parent: int, name: bytes) -> Inode:
        try:
            return self._inodes[self._inodes[parent].entries[name]]
        except KeyError:
            raise _error(errno.ENOENT) from None

    def make(self, parent: int, name: bytes, mode: int, uid: int, gid: int) -> Inode:
        """Make a file or, as `mode` says, a directory."""
        directory = self._inodes[parent]
        if name in directory.entries:
            raise _error(errno.EEXIST)
        self._last += 1
        inode = Inode(self._last, mode, uid, gid)
        if inode.is_directory:
            inode.links += 1
        self._inodes[inode.number] = inode
        directory.entries[name] = inode.number
        directory.touch()
        return inode

    def make_nameless(self, mode: int, uid: int, gid: int) -> Inode:
        """Make a file that goes when it is forgotten, unless it is linked before."""
        self._last += 1
        inode = self._inodes[self._last] = Inode(self._last, mode, uid, gid, links=0)
        return inode

    def link(self, number: int, parent: int, name: bytes) -> Inode:
        """Give a file one name more."""
        if name in self._inodes[parent].entries:
            raise _error(errno.EEXIST)
        inode = self._inodes[number]
        inode.links += 1
        self._inodes[parent].entries[name] = number
        self._inodes[parent].touch()
        return inode

    def remove(self, parent: int, name: bytes) -> None:
        """Remove a name; a directory has to be empty."""
        inode = self.lookup(parent, name)
        if inode.entries:
            raise _error(errno.ENOTEMPTY)
        del self._inodes[parent].entries[name]
        self._inodes[parent].touch()
        inode.links = 0 if inode.is_directory else inode.links - 1
        inode.touch(content=False)
        self.forget(inode.number, 0)

    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes) -> None:
        """Give a file another name, which may have been another file's."""
        inode = self.lookup(parent, name)
        if self._inodes[new_parent].entries.get(new_name) == inode.number:
            return
        if new_name in self._inodes[new_parent].entries:
            self.remove(new_parent, new_name)
        del self._inodes[parent].entries[name]
        self._inodes[new_parent].entries[new_name] = inode.number
        for number in (parent, new_parent):
            self._inodes[number].touch()
        inode.touch(content=False)

    def read(self, number: int, offset: int, size: int) -> bytes:
        return bytes(self._inodes[number].content[offset : offset + size])

    def write(self, number: int, offset: int, data: bytes) -> None:
        inode = self._inodes[number]
        self.truncate(number, max(len(inode.content), offset))
        inode.content[offset : offset + len(data)] = data
        inode.touch()

    def truncate(self, number: int, size: int) -> None:
        inode = self._inodes[number]
        del inode.content[size:]
        inode.content.extend(bytes(size - len(inode.content)))
        inode.touch()

    def forget(self, number: int, times: int) -> None:
        """Free what has no name any more, and is not known to the kernel either."""
        inode = self._inodes.get(number)
        if inode is None:
            return
        inode.known -= times
        if inode.known <= 0 and not inode.links:
            del self._inodes[number]


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
