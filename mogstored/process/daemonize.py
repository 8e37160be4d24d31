"""Detach from the terminal and from the caller, who waits for a report.

Two forks: the first child becomes the leader of a new session and so loses the terminal, the
second is no leader and so can never get one again. The caller stays until the detached
process reports that it is ready, or until the pipe between them closes because it ended.

No thread may exist before: only the forking one would live on. The umask is left alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn


class ReadyPipe:
    """The detached process's end of the pipe to the caller."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def report(self) -> None:
        """Let the caller go, with success. Closes the pipe; further calls do nothing."""
        if self._fd < 0:
            return
        try:
            os.write(self._fd, b"1")
        except BrokenPipeError:
            # The caller was killed meanwhile; that is its own affair.
            pass
        self.close()

    def close(self) -> None:
        """Close without a report: the caller ends with a failure once nobody holds the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def daemonize(prog: str) -> ReadyPipe:
    """Return in the detached process only, in `/` and with its stdio on /dev/null.

    The calling process ends here without unwinding: what its `finally` clauses would take
    down (the pidfile above all) belongs to the detached one.
    """
    reader, writer = os.pipe()
    # What is buffered would be written once by each process.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    child = os.fork()
    if child:
        os.close(writer)
        _await_report(prog, child, reader)
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    _silence_stdio()
    return ReadyPipe(writer)


def _await_report(prog: str, child: int, reader: int) -> NoReturn:
    # Where SIGCHLD is ignored, as some callers leave it to us, nobody is left to be reaped.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    if os.read(reader, 1):
        os._exit(0)
    os.write(2, f"{prog}: ended before it was ready, see syslog\n".encode())
    os._exit(1)


def _silence_stdio() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)


def occupy_stdio() -> None:
    """Open what is closed of descriptors 0, 1 and 2, before a socket takes its place."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(null)
    # The interpreter found them closed, and left itself nothing to write to.
    if sys.__stdout__ is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.__stderr__ is None:
        sys.stderr = os.fdopen(2, "w")
