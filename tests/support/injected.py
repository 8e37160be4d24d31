"""Code for `Node(injected=...)`: failures that cannot be caused from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FAILING_CALL = """
import errno, os, stat
plain, status_of = os.{call}, os.fstat

def call(fd, *arguments):
    if os.path.exists({flag!r}) and stat.S_ISREG(status_of(fd).st_mode):
        os.unlink({flag!r})
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return plain(fd, *arguments)

os.{call} = call
"""


def failing_call(name: str, flag: Path) -> str:
    """Let the next call of `os.name` for a regular file fail with EIO once `flag` is there.

    The call removes the flag.
    """
    return _FAILING_CALL.format(call=name, flag=str(flag))


_REFUSED_FORK = """
import errno, os
import mogstored.process.master as master

# The pause of a master before it tries again.
master._FORK_RETRY_S = 0.05
plain = os.fork

def fork():
    try:
        os.unlink({flag!r})
    except FileNotFoundError:
        return plain()
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

os.fork = fork
"""


def refused_fork(flag: Path) -> str:
    """Let the next fork fail once `flag` is there. The call removes the flag."""
    return _REFUSED_FORK.format(flag=str(flag))
