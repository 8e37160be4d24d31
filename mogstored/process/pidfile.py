"""The pidfile: which process may write it, and which may remove it.

Its content alone says whose it is. A process removes a file only while that holds its own
number, so workers, which have numbers of their own, never do, and neither does a node that
was replaced by an upgrade.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re

from mogstored.config.model import ConfigError

_log = logging.getLogger("mogstored")

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
# The umask applies.
_MODE = 0o666
_NUMBER = re.compile(rb"\s*([1-9][0-9]{0,9})\s*")
_MAX_BYTES = 64


class PidfileInUseError(OSError):
    """The file names another live process."""


class Pidfile:
    """The node's pidfile, from before it detaches until it ends.

    **Threads:** the main thread's.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.old_path = path + ".oldbin"
        self._fd = -1
        self._is_new = False

    def prepare(self) -> None:
        """Open the file, or make it, and leave it open for `commit`.

        **Raises:** `ConfigError` when it cannot be had, or names another live process;
        the file is untouched then.
        """
        is_new = not os.path.lexists(self.path)
        try:
            fd = os.open(self.path, _OPEN, _MODE)
        except OSError as error:
            raise ConfigError(f"cannot open pidfile {self.path}: {error.strerror}") from None
        try:
            other = _live_other(_content(fd))
        except OSError as error:
            os.close(fd)
            raise ConfigError(f"cannot read pidfile {self.path}: {error.strerror}") from None
        if other is not None:
            os.close(fd)
            raise ConfigError(f"already running on PID: {other}")
        self._fd, self._is_new = fd, is_new

    def commit(self) -> None:
        """Write this process's number; a failure is logged and nothing worse."""
        fd, self._fd = self._fd, -1
        try:
            _write_own(fd)
        except OSError as error:
            _log.error("cannot write pidfile %s: %s", self.path, error.strerror)
        finally:
            os.close(fd)

    def release(self) -> None:
        """Remove what names this process; or what `prepare` made, when that is all there was."""
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
        """Make room for a new process: this one's number moves to `old_path`.

        **Raises:** `OSError`, `PidfileInUseError` among them; nothing has changed then.
        """
        for path in (self.path, self.old_path):
            _check_is_free(path)
        _store(self.old_path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def restore(self) -> bool:
        """Take the file back after an upgrade that ended.

        Returns False while it still names a live process: ask again later.

        **Raises:** `OSError` when it cannot be written.
        """
        try:
            _check_is_free(self.path)
        except PidfileInUseError:
            return False
        _store(self.path)
        if _holder(self.old_path) == os.getpid():
            _remove(self.old_path)
        return True


def _check_is_free(path: str) -> None:
    """**Raises:** `PidfileInUseError`; `OSError` when `path` cannot be read."""
    try:
        with open(path, "rb") as file:
            other = _live_other(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return
    if other is not None:
        raise PidfileInUseError(f"{path} belongs to PID: {other}")


def _live_other(content: bytes) -> int | None:
    """Return the number of the live process that `content` names, unless it is this one.

    This process's own number is a left-over: in a container each start may get the same.
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
        _log.error("cannot remove pidfile %s: %s", path, error.strerror)
