"""Detach from the terminal and from the caller, which waits until the node is ready.

Two forks: the first child becomes the leader of a new session and so loses the terminal, the
second is no leader and so can never acquire one. The caller exits when the detached process
reports that it is ready, or when the pipe between them closes because the process has ended.

There may be no other thread yet: a fork copies only the calling one. The umask is left alone.
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
        """Let the caller exit with success, and close the pipe; further calls do nothing."""
        if self._fd < 0:
            return
        try:
            os.write(self._fd, b"1")
        except BrokenPipeError:
            # The caller was killed meanwhile.
            pass
        self.close()

    def close(self) -> None:
        """Close without a report; when the last copy is closed, the caller exits with failure."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def daemonize(prog: str) -> ReadyPipe:
    """Return in the detached process only, in `/` and with its stdio on /dev/null.

    The calling process exits here without unwinding: what its `finally` clauses would remove (the
    pidfile above all) belongs to the detached process.

    **Raises:** `OSError`.
    """
    reader, writer = os.pipe()
    # Buffered output would be written by each process.
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
    # If SIGCHLD is ignored, as some callers leave it, the kernel has reaped the child.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    if os.read(reader, 1):
        os._exit(0)
    # Late: `occupy_stdio` runs before anything heavy is loaded.
    from mogstored.log.handlers import open_stderr
    from mogstored.process.flusher import flush_before_exit

    stderr = open_stderr()
    stderr.write(f"{prog}: ended before it was ready, see syslog\n".encode())
    flush_before_exit([stderr])
    os._exit(1)


def _silence_stdio() -> None:
    """Put stdio, which is open, on /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def occupy_stdio() -> None:
    """Open closed descriptors 0, 1 and 2 on /dev/null, before a socket gets their number."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(null)
    # The interpreter found them closed and set the streams to None.
    if sys.__stdout__ is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.__stderr__ is None:
        sys.stderr = os.fdopen(2, "w")
