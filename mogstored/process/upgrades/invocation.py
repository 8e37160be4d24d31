"""How this program was invoked, and invoking it again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Self

from mogstored.process.upgrades.inherited import (
    ACTIVATION_VARIABLES,
    COUNT_VARIABLE,
    UPGRADE_VARIABLE,
    count_upgrades,
)

# Variables that hold for this process only.
_NOT_PASSED_ON = (UPGRADE_VARIABLE, *ACTIVATION_VARIABLES, "WATCHDOG_PID")
# Python ignores these, and exec keeps ignored signals ignored.
_RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True)
class Invocation:
    """Arguments, environment and working directory of a program's start."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str | None

    @classmethod
    def of_this_process(cls) -> Self:
        """Return this process's own; called before any of it is changed."""
        try:
            directory: str | None = os.getcwd()
        except FileNotFoundError:
            directory = None
        return cls(tuple(sys.orig_argv), dict(os.environ), directory)

    def execute(self, listener_fds: Sequence[int]) -> NoReturn:
        """Replace this process by the program, which inherits these listening sockets.

        **Raises:** `OSError`.
        """
        environment = {k: v for k, v in self.environment.items() if k not in _NOT_PASSED_ON}
        environment[COUNT_VARIABLE] = str(1 + count_upgrades(self.environment))
        environment[UPGRADE_VARIABLE] = ",".join(map(str, listener_fds))
        for number in _RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if self.directory is not None:
            # It may have been removed.
            with contextlib.suppress(OSError):
                os.chdir(self.directory)
        for fd in listener_fds:
            os.set_inheritable(fd, True)
        os.execvpe(self.arguments[0], list(self.arguments), environment)
