"""Let each call of a disk fail or hang, and see the answer, the log, and what stands there then.

The disk is one of our own behind FUSE, in two forms: one on which files have a temporary name
until they are complete, and one on which they have none.
"""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.bad_disk.control import mounted
from mogstored.files import leftovers
from tests.crash.table import Table
from tests.support.daemon import Node
from tests.support.http import Client, compose
from tests.support.puts import md5_of, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bad_disk.control import SlowDisk

WAYS = ("temporary", "nameless")
LEVELS = ("none", "data", "full")
_NUMBERS = (errno.EIO, errno.ENOSPC, errno.EROFS)
FAULTS = (*(errno.errorcode[number] for number in _NUMBERS), "hang")

_PUTS = ("new", "large", "replace")
# "again" is a DELETE of a file that one before has removed, and may not have synced.
CALLS = {
    "lookup": ("new", "delete", "read"),
    "mkdir": ("tree",),
    "create": _PUTS,
    "tmpfile": _PUTS,
    "write": _PUTS,
    "setxattr": ("large", "replace"),
    "setattr": _PUTS,
    "fsync": _PUTS,
    "link": _PUTS,
    "flush": _PUTS,
    "rename": _PUTS,
    "fsyncdir": (*_PUTS, "tree", "delete", "again"),
    "unlink": ("delete",),
    "open": ("read",),
    "read": ("read",),
}
# Calls whose failure must not be acknowledged, and from which level on they are made.
_MATTER = {
    **dict.fromkeys(("write", "flush", "unlink", "mkdir"), "none"),
    "fsync": "data",
    "fsyncdir": "full",
}

_OTHERS = {"temporary": {"tmpfile", "link"}, "nameless": {"create", "setattr"}}

_OLD = b"old " * 500
_CONTENT = {"new": b"new " * 1000, "large": os.urandom(300_000)}
_ABSENT, _OLD_STANDS, _NEW_STANDS, _HALF = "absent", "old", "new", "HALF"
HEADINGS = ("way", "call", "request", "level", *FAULTS)


@dataclass(slots=True)
class Result:
    """The rows of a table, and what should not be in it."""

    rows: list[list[object]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    """A line of each error."""


class Site:
    """A node whose dev2 is the disk and whose dev1 is not."""

    def __init__(self, node: Node, disk: SlowDisk, level: str, way: str) -> None:
        self._node = node
        self._disk = disk
        self._level = level
        self._way = way
        self._serial = 0

    def row(self, call: str, request: str, result: Result) -> list[object]:
        """Let `call` fail in each way during a request of this kind."""
        cells = [self._outcome(call, request, fault, result) for fault in FAULTS]
        return [self._way, call, request, self._level, *cells]

    def _outcome(self, call: str, request: str, fault: str, result: Result) -> str:
        path = self._prepare(request)
        data, expected = self._compose(request, path)
        try:
            with Client(self._node.http) as client:
                if fault == "hang":
                    self._disk.hang(call)
                    client.send(data)
                    if self._is_made(call):
                        self._disk.wait_until_held(1, call)
                    self._assert_other_disk_is_served()
                    self._disk.release()
                else:
                    self._disk.fail(getattr(errno, fault), call)
                    client.send(data)
                status = _status(client)
        finally:
            self._disk.release()
        stands = self._what_stands(path, request)
        where = f"{self._way} {call} {request} {self._level} {fault}: {status}, {stands}"
        result.faults += [f"{where}: {it}" for it in self._wrong(call, fault, status, expected)]
        result.faults += [f"{where}: {it}" for it in _wrong_state(request, status, stands)]
        beside = os.listdir(path.parent) if path.parent.exists() else []
        left = [name for name in beside if leftovers.is_temporary(name.encode())]
        if left and call != "unlink":
            result.faults.append(f"{where}: left {left}")
        return f"{status} {stands}"

    def _wrong(self, call: str, fault: str, status: int, expected: int) -> list[str]:
        if fault == "hang":
            return [] if status == expected else ["a disk that comes back has done it"]
        # A 404 acknowledges a DELETE: the tracker forgets the file.
        is_taken = 0 < status < 400 or status == 404
        return ["acknowledged, but failed"] if self._is_made(call) and is_taken else []

    def _is_made(self, call: str) -> bool:
        """Say whether the call is made for certain, and nothing can be acknowledged without."""
        since = _MATTER.get(call)
        return since is not None and LEVELS.index(self._level) >= LEVELS.index(since)

    def _prepare(self, request: str) -> Path:
        """Return the path of a new name; there is a file where the request needs one."""
        self._serial += 1
        directory = self._disk.path / (f"tree{self._serial}" if request == "tree" else "files")
        path = directory / f"f{self._serial}"
        if request != "tree":
            directory.mkdir(exist_ok=True)
        if request in ("replace", "delete", "read"):
            path.write_bytes(_OLD)
        return path

    def _compose(self, request: str, path: Path) -> tuple[bytes, int]:
        target = f"/dev2/{path.relative_to(self._disk.path)}"
        if request == "read":
            return compose("GET", target), 200
        if request in ("delete", "again"):
            return compose("DELETE", target), 404 if request == "again" else 204
        content = _content(request)
        md5 = [f"Content-MD5: {md5_of(content)}"] if request in ("large", "replace") else []
        return put(target, content, *md5), 201

    def _assert_other_disk_is_served(self) -> None:
        with Client(self._node.http) as client:
            assert client.request(put("/dev1/other", b"other")).status == 201
            assert client.request(compose("GET", "/dev1/other")).body == b"other"

    def _what_stands(self, path: Path, request: str) -> str:
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            return _ABSENT
        if found == _OLD:
            return _OLD_STANDS
        return _NEW_STANDS if found == _content(request) else _HALF


def _content(request: str) -> bytes:
    return _CONTENT.get(request, _CONTENT["new"])


def _status(client: Client) -> int:
    """Return the answer's status; 0 if the node broke off instead."""
    try:
        return client.read_response().status
    except (AssertionError, ConnectionError):
        return 0


def _wrong_state(request: str, status: int, stands: str) -> list[str]:
    allowed = {
        201: {_NEW_STANDS},
        204: {_ABSENT},
        200: {_OLD_STANDS},
    }.get(status, {_ABSENT, _OLD_STANDS})
    if request == "read":
        # A 404 makes a tracker forget the file.
        return ["said to be absent"] if status == 404 else []
    return [] if stands in allowed else ["stands there"]


def try_out(
    way: str, level: str, calls: Sequence[str] = tuple(CALLS), injected: str = ""
) -> Result:
    """Let each of `calls` fail; the node runs `injected` first. **Raises:** `CannotMount`."""
    result = Result()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mog-faults-")))
        disk = stack.enter_context(mounted(scratch / "disk", "tests.crash.able_disk", way))
        # The device stays in use, however often it fails.
        options = [f"--durability={level}", "--error-write-limit=0"]
        node = Node(devices=("dev1",), extra=options, injected=injected)
        (node.docroot / "dev2").symlink_to(disk.path)
        stack.enter_context(node)
        # Whether it takes files without a name is tried once.
        site = Site(node, disk, level, way)
        with Client(node.http) as client:
            assert client.request(put("/dev2/files/first", b"first")).status == 201
        for call in calls:
            if call in _OTHERS[way]:
                continue
            result.rows += [site.row(call, request, result) for request in CALLS[call]]
        for number in _NUMBERS:
            line = node.wait_for_log(f"dev2.*{os.strerror(number)}")
            result.log.append(line.partition("]: ")[2])
    return result


def prove(levels: Sequence[str], count: int, seed: int) -> bool:
    """Let each call fail at these levels, in both ways; say whether all is right."""
    del count, seed
    table = Table(HEADINGS, (9, 8, 7, 5, *[10] * len(FAULTS)))
    faults = []
    for way in WAYS:
        for level in levels:
            result = try_out(way, level)
            for row in result.rows:
                table.add(row)
            faults += result.faults
            for line in result.log:
                print(f"  log: {line}")
    for fault in faults:
        print(f"  {fault}")
    return not faults
