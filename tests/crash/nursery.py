"""Start nodes by a fork of a process that has them loaded, so that a start takes milliseconds.

The process reads commands, one a line: `start` answers with the number of the new process,
`kill` ends it and all its children with SIGKILL and answers when all are gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

_CHECKOUT = Path(__file__).parents[2]
# The mogstored that is installed is found before the checkout's.
_RUN = f"import sys; sys.path.append({str(_CHECKOUT)!r}); from tests.crash import nursery"
# linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
# As service managers pass it.
_FIRST_ACTIVATED = 3


class Nursery:
    """A node at a time, which serves on the socket `listener`; `log` gets its lines.

    `injected` is code that is run before any of them.
    """

    def __init__(
        self, listener: socket, log: Path, arguments: Sequence[str], injected: str = ""
    ) -> None:
        code = f"{_RUN}\n{injected}\nnursery.main()"
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(listener.fileno()), *arguments],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            )

    def start(self) -> int:
        return int(self._ask("start"))

    def kill(self) -> None:
        self._ask("kill")

    def close(self) -> None:
        """End the node and the nursery."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(command, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


def main() -> None:
    """Be the process that starts them."""
    # Load what a node loads.
    from mogstored import cli, startup
    from mogstored.process import master, single

    del startup, master, single
    fd, *arguments = sys.argv[1:]
    # The worker processes of a node that was killed are ours to wait for.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    node = 0
    try:
        for line in sys.stdin:
            if line == "start\n":
                node = os.fork() or _become(cli.main, int(fd), arguments)
            else:
                _kill(node)
            print(node, flush=True)
    finally:
        _kill(node)


def _become(run: Callable[[Sequence[str]], int], fd: int, arguments: Sequence[str]) -> NoReturn:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for taken in (0, 1):
        os.dup2(null, taken)
    os.close(null)
    os.dup2(fd, _FIRST_ACTIVATED)
    if fd != _FIRST_ACTIVATED:
        os.close(fd)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    status = 1
    try:
        status = run(arguments)
    finally:
        os._exit(status)


def _kill(group: int) -> None:
    if not group:
        return
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.waitpid(-group, 0)
        except ChildProcessError:
            return
