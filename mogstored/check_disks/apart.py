"""A check in a process of its own, which may hang with its disk.

The process reports each step through a pipe. If nothing comes for too long, it is left alone: it
notices when its disk answers that no one reads any more, removes its file, and ends.
"""

from __future__ import annotations

import json
import os
import selectors
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from mogpoll.system.limits.threads import name_limit
from mogstored.check_disks.exercise import STEPS, Result, exercise
from mogstored.log.printable import reason

_MAX_FDS = 65536

Exercise = Callable[[str, int, Callable[[str, int], None]], Result]


class NoProcess(Exception):
    """The system refuses a process for a check; the message says why."""


def check_apart(
    directories: Iterable[Path],
    size: int,
    timeout_s: float,
    *,
    in_parallel: bool = False,
    exercise: Exercise = exercise,
) -> Iterator[tuple[Path, Result]]:
    """Check devices, one after the other or all at once; yield each result when it is there.

    Those that the system has no process for wait until another check has ended.

    **Raises:** `NoProcess` if it has none for a single check.
    """
    waiting = list(directories)
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            while waiting and (in_parallel or not selector.get_map()):
                try:
                    check = _Check(waiting[0], size, exercise)
                except OSError as error:
                    if selector.get_map():
                        break
                    raise NoProcess(name_limit() or reason(error)) from None
                del waiting[0]
                selector.register(check.fd, selectors.EVENT_READ, check)
            checks: list[_Check] = [key.data for key in selector.get_map().values()]
            left_s = min(check.heard_at for check in checks) + timeout_s - monotonic()
            ready = {key.data for key, _ in selector.select(max(0.0, left_s))}
            for check in checks:
                if check in ready:
                    check.read()
                elif monotonic() - check.heard_at >= timeout_s:
                    check.give_up(timeout_s)
                if check.result is not None:
                    selector.unregister(check.fd)
                    check.close()
                    yield check.directory, check.result


class _Check:
    """One check under way."""

    def __init__(self, directory: Path, size: int, exercise: Exercise) -> None:
        self.directory = directory
        self.result: Result | None = None
        self.heard_at = monotonic()
        self.fd, writer = os.pipe()
        self._size = size
        self._step = STEPS[0]
        self._rest = b""
        try:
            self._pid: int | None = os.fork()
            if not self._pid:
                _run(directory, size, exercise, writer)
        except OSError:
            os.close(self.fd)
            raise
        finally:
            os.close(writer)

    def read(self) -> None:
        """Take what the process has reported."""
        self.heard_at = monotonic()
        if not (data := os.read(self.fd, 65536)):
            self.result = Result(self._size, failed=self._step, reason="the check was killed")
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if isinstance(report, str):
                self._step = report
            else:
                self.result = Result(**report)

    def give_up(self, timeout_s: float) -> None:
        """Call it a disk that hangs, and leave the process alone."""
        self._pid = None
        reason = f"the disk hangs: nothing for {timeout_s:g} s"
        self.result = Result(self._size, failed=self._step, reason=reason)

    def close(self) -> None:
        os.close(self.fd)
        if self._pid is not None:
            os.waitpid(self._pid, 0)


def _run(directory: Path, size: int, exercise: Exercise, writer: int) -> None:
    """Be the process."""
    try:
        # Of other checks, too: their processes must notice when no one reads any more.
        os.closerange(3, writer)
        os.closerange(writer + 1, _MAX_FDS)
        # Who waits for the end of the command's output need not wait for the disk.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)

        def report(what: object) -> None:
            os.write(writer, json.dumps(what).encode() + b"\n")

        with suppress(BrokenPipeError, KeyboardInterrupt):
            report(asdict(exercise(str(directory), size, lambda step, _: report(step))))
    finally:
        os._exit(0)
