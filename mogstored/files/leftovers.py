"""Files that will never be complete: uploads of a process that was killed, and trackers' tests.

An upload with a temporary name stays when its process is killed. A tracker tests each device by
storing a file of one of a hundred names, and never removes them. Nothing else is touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable

# As `temporary_name` has it. What stands before is the name of the file it was to become.
_TEMPORARY = re.compile(rb".+\.[0-9a-f]{8}\.([1-9][0-9]{0,9})\.tmp", re.DOTALL)
_TEST_DIRECTORY = b"test-write"
_TEST = re.compile(rb"test-write-[0-9]{1,2}|test-md5")

TEMPORARY_AGE_S = 3600.0
TEST_AGE_S = 24 * 3600.0

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def sweep(root: str, now: float, pause: Callable[[], bool]) -> int:
    """Remove the left-overs below the directory `root`; return how many there were.

    `now` is in seconds since the epoch. `pause` is called before each directory is read, while
    nothing is open, and ends the sweep by returning False. Symbolic links are not followed. What
    cannot be read or removed is passed over.
    """
    removed = 0
    top = os.fsencode(root)
    waiting = [top]
    while waiting and pause():
        path = waiting.pop()
        is_test = path == top + b"/" + _TEST_DIRECTORY
        with contextlib.suppress(OSError):
            fd = os.open(path, _DIRECTORY | (os.O_NOFOLLOW if path != top else 0))
            try:
                directories, candidates = _read(fd, is_test)
                waiting += [path + b"/" + name for name in directories]
                removed += sum(_remove_if_left(fd, name, now) for name in candidates)
            finally:
                os.close(fd)
    return removed


def _read(fd: int, is_test: bool) -> tuple[list[bytes], list[bytes]]:
    """Return the directories in a directory, and the files whose names are of interest."""
    directories, candidates = [], []
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                directories.append(name)
            elif _TEMPORARY.fullmatch(name) or (is_test and _TEST.fullmatch(name)):
                candidates.append(name)
    return directories, candidates


def _remove_if_left(fd: int, name: bytes, now: float) -> bool:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not is_leftover(name, found, now):
            return False
        os.unlink(name, dir_fd=fd)
    except OSError:
        return False
    return True


def is_temporary(name: bytes) -> bool:
    """Say whether a file of such a name is an upload's that is not complete."""
    return _TEMPORARY.fullmatch(name) is not None


def is_leftover(name: bytes, found: os.stat_result, now: float) -> bool:
    """Say whether a regular file of such a name, which is so old, is of no use any more."""
    if not stat.S_ISREG(found.st_mode):
        return False
    age_s = now - found.st_mtime
    temporary = _TEMPORARY.fullmatch(name)
    if temporary is None:
        return age_s > TEST_AGE_S
    return age_s > TEMPORARY_AGE_S and _is_gone(int(temporary[1]), found.st_mtime)


def _is_gone(pid: int, written_at: float) -> bool:
    """Say whether the process that wrote then has ended; its number may be in use again."""
    # Late: few nodes ever find such a file, and this takes memory.
    import psutil

    try:
        return bool(psutil.Process(pid).create_time() > written_at + 1)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OverflowError):
        return False
