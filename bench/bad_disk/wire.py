"""The messages between the kernel and a file system behind /dev/fuse, as far as a disk needs them.

The format is that of linux/fuse.h, version 7.31, in the byte order of the machine. A request
is a header and what belongs to its operation; an answer is a header with a negative error
number and, if that is 0, what the operation returns.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.bad_disk.memory import Inode

MAJOR, MINOR = 7, 31
MAX_WRITE = 128 * 1024
# The kernel refuses to be read from with less than the longest request.
READ_SIZE = 2 * MAX_WRITE
BLOCK = 4096

# Writes of more than a page at a time; several lookups in one directory at a time.
_INIT_FLAGS = 1 << 5 | 1 << 18
# Whatever the kernel would do in the background may wait behind what hangs: have plenty.
_MAX_BACKGROUND = 1000

OPERATIONS = {
    1: "lookup",
    2: "forget",
    3: "getattr",
    4: "setattr",
    9: "mkdir",
    10: "unlink",
    11: "rmdir",
    12: "rename",
    13: "link",
    14: "open",
    15: "read",
    16: "write",
    17: "statfs",
    18: "release",
    20: "fsync",
    21: "setxattr",
    22: "getxattr",
    24: "removexattr",
    25: "flush",
    26: "init",
    27: "opendir",
    28: "readdir",
    29: "releasedir",
    30: "fsyncdir",
    35: "create",
    36: "interrupt",
    38: "destroy",
    42: "batch_forget",
    45: "rename2",
    51: "tmpfile",
}

_IN_HEADER = struct.Struct("=IIQQIIII")
_OUT_HEADER = struct.Struct("=IiQ")
_INIT_OUT = struct.Struct("=IIIIHHII36x")
_ATTR = struct.Struct("=6Q10I")
_ENTRY = struct.Struct("=QQQQII")
_ATTR_OUT = struct.Struct("=QI4x")
_STATFS_OUT = struct.Struct("=5Q3I28x")
_DIRENT = struct.Struct("=QQII")

# What the bodies of requests begin with.
INIT = struct.Struct("=IIII")
SETATTR = struct.Struct("=I4x6Q8I")
MODE = struct.Struct("=II")
CREATE = struct.Struct("=IIII")
READ_WRITE = struct.Struct("=QQIIQII")
RENAME = struct.Struct("=Q")
RENAME2 = struct.Struct("=QII")
FORGET = struct.Struct("=Q")
BATCH = struct.Struct("=II")
FORGET_ONE = struct.Struct("=QQ")

OPENED = struct.pack("=QII", 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What the kernel asks for; `name` is "" for what no disk here can do."""

    name: str
    unique: int
    node: int
    uid: int
    gid: int
    body: bytes

    def names(self, begin: struct.Struct | None = None) -> list[bytes]:
        """Return the file names at the end of the body, behind the numbers in `begin`."""
        return self.body[begin.size if begin else 0 :].split(b"\0")[:-1]


def parse_request(data: bytes) -> Request:
    size, opcode, unique, node, uid, gid, _pid, _ = _IN_HEADER.unpack_from(data)
    assert size == len(data)
    name = OPERATIONS.get(opcode, "")
    return Request(name, unique, node, uid, gid, data[_IN_HEADER.size :])


def answer(unique: int, payload: bytes = b"", error: int = 0) -> bytes:
    return _OUT_HEADER.pack(_OUT_HEADER.size + len(payload), -error, unique) + payload


def init_out(request: Request) -> bytes:
    _major, minor, readahead, flags = INIT.unpack_from(request.body)
    return _INIT_OUT.pack(
        MAJOR,
        min(minor, MINOR),
        readahead,
        flags & _INIT_FLAGS,
        _MAX_BACKGROUND,
        _MAX_BACKGROUND,
        MAX_WRITE,
        1,
    )


def attributes(inode: Inode) -> bytes:
    times = (inode.mtime_ns, inode.mtime_ns, inode.ctime_ns)
    seconds = [time // 10**9 for time in times]
    nanoseconds = [time % 10**9 for time in times]
    size = len(inode.content)
    owner = (inode.uid, inode.gid)
    sizes = (inode.number, size, -(-size // 512))
    return _ATTR.pack(*sizes, *seconds, *nanoseconds, inode.mode, inode.links, *owner, 0, BLOCK, 0)


def attr_out(inode: Inode) -> bytes:
    """Answer with attributes that the kernel must ask for again next time."""
    return _ATTR_OUT.pack(0, 0) + attributes(inode)


def entry_out(inode: Inode) -> bytes:
    """Answer with a name's inode; the kernel must ask for the name again next time."""
    return _ENTRY.pack(inode.number, 0, 0, 0, 0, 0) + attributes(inode)


def statfs_out(blocks: tuple[int, int], inodes: tuple[int, int]) -> bytes:
    """Answer with how many there are and how many are free."""
    return _STATFS_OUT.pack(*blocks, blocks[1], *inodes, BLOCK, 255, BLOCK)


def directory_out(entries: Iterable[tuple[bytes, int, int]], offset: int, size: int) -> bytes:
    """Answer with as many (name, number, mode) behind the first `offset` as `size` holds."""
    listing = b""
    for position, (name, number, mode) in enumerate(entries, 1):
        if position <= offset:
            continue
        entry = _DIRENT.pack(number, position, len(name), mode >> 12) + name
        entry += b"\0" * (-len(entry) % 8)
        if len(listing) + len(entry) > size:
            break
        listing += entry
    return listing
