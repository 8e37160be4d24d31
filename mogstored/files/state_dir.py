"""What a node knows beyond its life: JSON files in `.mogstored`, below the docroot.

A file is written whole: a temporary one, a sync, a rename. What cannot be read is logged once and
counts as missing. Where nothing can be written, that is logged once, and the process keeps in
memory what it would have written.

The directory is made when it is first needed. As root, it is given to the docroot's owner, and
each file to the directory's: a command that root has run must not lock out the node.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mogstored.files.docroot import Docroot
from mogstored.files.paths import STATE_DIRECTORY
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

State = dict[str, Any]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A FIFO in the place of a file does not block, and a link leads nowhere.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# No state is as large.
_MAX_SIZE = 16 * 1024 * 1024


class Stamp(NamedTuple):
    """What changes when a file is written."""

    inode: int
    modified_ns: int
    size: int


class StateDir:
    """The state of one docroot; a name stands for the file `NAME.json`.

    Every method may take as long as the docroot's disk does.

    **Threads:** any; so do other processes, and `update` keeps them apart. `_lock` guards what was
    logged and what is in memory.
    """

    def __init__(self, docroot: Docroot) -> None:
        self._docroot = docroot
        self.path = f"{docroot.path.rstrip('/')}/{os.fsdecode(STATE_DIRECTORY)}"
        self._lock = threading.Lock()
        # What could not be written, and the file that was there instead.
        self._kept: dict[str, tuple[State, Stamp | None]] = {}
        self._complained: dict[str, str] = {}

    def read(self, name: str) -> State | None:
        """Return what was written last; None if there is nothing, or nothing that can be read."""
        kept = self._kept.get(name)
        if kept is not None and kept[1] == self.stamp(name):
            return _copy(kept[0])
        try:
            text = self._read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._complain(name, reason(error))
            return None
        try:
            state = json.loads(text)
        except (ValueError, RecursionError):
            state = None
        if not isinstance(state, dict):
            self._complain(name, "not a JSON object")
            return None
        with self._lock:
            self._complained.pop(name, None)
        return state

    def write(self, name: str, state: State) -> bool:
        """Keep `state`, which JSON can express; False if only in memory."""
        try:
            with self._opened() as fd:
                self._write(fd, name, state)
        except OSError as error:
            self._keep(name, state, error)
            return False
        with self._lock:
            self._kept.pop(name, None)
            self._complained.pop("", None)
        return True

    def update(self, name: str, change: Callable[[State], State]) -> bool:
        """Write what `change` makes of the state, alone; as `write`. Missing state is empty."""
        with contextlib.ExitStack() as stack:
            # Where nothing can be written there is nothing to lock, and no lock on some networks.
            with contextlib.suppress(OSError):
                fd = stack.enter_context(self._opened())
                fcntl.flock(fd, fcntl.LOCK_EX)
            return self.write(name, change(self.read(name) or {}))

    def stamp(self, name: str) -> Stamp | None:
        """Return what differs between versions of the file; None if there is none."""
        try:
            found = os.stat(self._in(name), dir_fd=self._docroot.fileno(), follow_symlinks=False)
        except OSError:
            return None
        return Stamp(found.st_ino, found.st_mtime_ns, found.st_size)

    def _in(self, name: str) -> bytes:
        return b"%b/%b.json" % (STATE_DIRECTORY, name.encode("ascii"))

    def _read(self, name: str) -> bytes:
        # By an opener: a descriptor of a directory would stay open after the error.
        with open(self._in(name), "rb", opener=self._open) as file:
            return file.read(_MAX_SIZE)

    def _open(self, path: str, _flags: int) -> int:
        return os.open(path, _READ, dir_fd=self._docroot.fileno())

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Yield the directory, and make it if it is missing."""
        top = self._docroot.fileno()
        is_new = False
        try:
            fd = os.open(STATE_DIRECTORY, _DIRECTORY, dir_fd=top)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(STATE_DIRECTORY, 0o700, dir_fd=top)
            fd = os.open(STATE_DIRECTORY, _DIRECTORY, dir_fd=top)
            is_new = True
        try:
            if is_new:
                _give(fd, os.fstat(top))
            yield fd
        finally:
            os.close(fd)

    def _write(self, dir_fd: int, name: str, state: State) -> None:
        text = json.dumps(state, indent=1).encode() + b"\n"
        # Of this process alone: `write` may be called by several threads.
        temporary = f"{name}.{os.getpid()}.{threading.get_ident()}.tmp"
        with contextlib.suppress(FileNotFoundError):
            # Left by a process that had this PID.
            os.unlink(temporary, dir_fd=dir_fd)
        fd = os.open(temporary, _CREATE, 0o600, dir_fd=dir_fd)
        try:
            with open(fd, "wb") as file:
                file.write(text)
                file.flush()
                _give(fd, os.fstat(dir_fd))
                os.fsync(fd)
            os.rename(temporary, f"{name}.json", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=dir_fd)
            raise
        os.fsync(dir_fd)

    def _keep(self, name: str, state: State, error: OSError) -> None:
        with self._lock:
            self._kept[name] = (_copy(state), self.stamp(name))
            text = reason(error)
            if self._complained.get("") == text:
                return
            self._complained[""] = text
        _log.warning("cannot write %s: %s; its state ends with the process", self.path, text)

    def _complain(self, name: str, why: str) -> None:
        with self._lock:
            if self._complained.get(name) == why:
                return
            self._complained[name] = why
        _log.warning("%s/%s.json is ignored: %s", self.path, name, why)


def _give(fd: int, like: os.stat_result) -> None:
    """Give what root has made to the owner of another file."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.fchown(fd, like.st_uid, like.st_gid)


def _copy(state: State) -> State:
    """Return a copy that shares nothing, and is what a file would give back."""
    copy: State = json.loads(json.dumps(state))
    return copy
