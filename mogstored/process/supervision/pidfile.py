"""The pidfile: which process may write it, and which may remove it.

The PID in the file names its owner, and only the owner removes the file. So neither workers nor a
node that has been replaced by an upgrade remove it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re

from mogstored.config.model import ConfigError
from mogstored.log.printable import reason
from mogstored.process.supervision.pid_identity import describe_process, may_be_node

_log = logging.getLogger("mogstored")

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
# The umask applies.
_MODE = 0o666
_NUMBER = re.compile(rb"\s*([1-9][0-9]{0,9})\s*")
_MAX_BYTES = 64


class PidfileInUseError(OSError):
    """The file names another running process."""


class Pidfile:
    """The node's pidfile, from before the node detaches until it ends.

    **Threads:** the main thread's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.old_path = path + ".oldbin"
        self._fd = -1
        self._is_new = False

    def prepare(self) -> None:
        """Open or create the file, and keep it open for `commit`.

        A file is stale, and taken over, if its process is gone or is not a node: the PID of a
        killed node may have been reused.

        **Raises:** `ConfigError` if the file cannot be opened, or names another running process
        that may be a node; the file is unchanged.
        """
        is_new = not os.path.lexists(self.path)
        try:
            fd = os.open(self.path, _OPEN, _MODE)
        except OSError as error:
            raise ConfigError(f"cannot open pidfile {self.path}: {reason(error)}") from None
        try:
            other = _live_other(_content(fd))
            if other is not None and not may_be_node(other):
                _log.warning(
                    "pidfile %s is stale: PID %d%s is not a node",
                    self.path,
                    other,
                    _in_brackets(other),
                )
                other = None
        except OSError as error:
            os.close(fd)
            raise ConfigError(f"cannot read pidfile {self.path}: {reason(error)}") from None
        if other is not None:
            os.close(fd)
            raise ConfigError(
                f"already running on PID: {other}{_in_brackets(other)}, as pidfile {self.path}"
                " says: stop that process, or remove the file if it is not this node"
            )
        self._fd, self._is_new = fd, is_new

    def commit(self) -> None:
        """Write this process's PID; a failure is logged, the node serves without."""
        fd, self._fd = self._fd, -1
        try:
            _write_own(fd)
        except OSError as error:
            _log.error("cannot write pidfile %s: %s", self.path, reason(error))
        finally:
            os.close(fd)

    def release(self) -> None:
        """Remove the files that name this process, or the empty one created by `prepare`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._is_new:
                _remove(self.path)
            return
        for path in (self.path, self.old_path):
            if _holder(path) == os.getpid():
                _remove(path)

    def rename_for_upgrade(self) -> None:
        """Move this process's PID to `old_path`, so that a new process can use `path`.

        **Raises:** `OSError`, such as `PidfileInUseError`; nothing is changed.
        """
        for path in (self.path, self.old_path):
            _check_is_free(path)
        _store(self.old_path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def restore(self) -> bool:
        """Take the file back after a failed upgrade.

        Returns False while the file names another running process; call again later.

        **Raises:** `OSError` if it cannot be written.
        """
        try:
            _check_is_free(self.path)
        except PidfileInUseError:
            return False
        _store(self.path)
        if _holder(self.old_path) == os.getpid():
            _remove(self.old_path)
        return True


def find_running(path: str) -> int | None:
    """Return the PID of the node that `prepare` would refuse for; change nothing.

    **Raises:** `ConfigError` if `prepare` could not open the file.
    """
    try:
        try:
            fd = os.open(path, _OPEN & ~os.O_CREAT)
        except FileNotFoundError:
            _check_directory(os.path.dirname(os.path.realpath(path)))
            return None
        with open(fd, "rb") as file:
            other = _live_other(file.read(_MAX_BYTES))
    except OSError as error:
        raise ConfigError(f"cannot open pidfile {path}: {reason(error)}") from None
    return other if other is not None and may_be_node(other) else None


def _check_directory(path: str) -> None:
    """**Raises:** `OSError` unless a file can be created in the directory `path`."""
    os.stat(path)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "its directory is not writable")


def _check_is_free(path: str) -> None:
    """**Raises:** `PidfileInUseError`; `OSError` if `path` cannot be read."""
    try:
        with open(path, "rb") as file:
            other = _live_other(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return
    if other is not None:
        raise PidfileInUseError(f"{path} belongs to PID: {other}{_in_brackets(other)}")


def _live_other(content: bytes) -> int | None:
    """Return the PID in `content` if that is another running process.

    This process's own PID is a leftover: in a container, each start may get the same one.
    """
    pid = _parse(content)
    if pid is None or pid == os.getpid():
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (ProcessLookupError, OverflowError):
        return None
    return pid


def _in_brackets(pid: int) -> str:
    shown = describe_process(pid)
    return f" ({shown})" if shown else ""


def _parse(content: bytes) -> int | None:
    match = _NUMBER.fullmatch(content)
    return int(match[1]) if match else None


def _content(fd: int) -> bytes:
    return os.pread(fd, _MAX_BYTES, 0)


def _holder(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return _parse(file.read(_MAX_BYTES))
    except OSError:
        return None


def _store(path: str) -> None:
    fd = os.open(path, _OPEN, _MODE)
    try:
        _write_own(fd)
    finally:
        os.close(fd)


def _write_own(fd: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        _log.error("cannot remove pidfile %s: %s", path, reason(error))
