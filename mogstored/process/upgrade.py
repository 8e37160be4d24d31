"""Replace the running program by starting it again beside itself.

The new process is started with what this one was started with, and inherits the listening
sockets; both serve until somebody stops one of them. If it is the new one that ends, the old
one takes its pidfile back as if nothing had happened.

There are threads, so no Python runs between fork and exec: `subprocess` sees to that, and
makes the sockets inheritable in the child only. Nothing else that is started meanwhile can
get hold of them.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mogstored.inherited import ACTIVATION_VARIABLES, UPGRADE_VARIABLE
from mogstored.process.notify import Notifier
from mogstored.process.pidfile import Pidfile

_log = logging.getLogger("mogstored")

# Meant for this process by its number, and not for the next one.
_PERSONAL = (UPGRADE_VARIABLE, *ACTIVATION_VARIABLES, "WATCHDOG_PID")
# How often to look whether the pidfile may be taken back.
RESTORE_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Launch:
    """How this program was started, so that it can be started so again."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str | None

    @classmethod
    def of_this_process(cls) -> Self:
        """Remember; called before anything of it is changed."""
        try:
            directory: str | None = os.getcwd()
        except FileNotFoundError:
            directory = None
        return cls(tuple(sys.orig_argv), dict(os.environ), directory)

    def again(self, listener_fds: Sequence[int]) -> subprocess.Popen[bytes]:
        """Start the program and leave it these sockets.

        **Raises:** `OSError`.
        """
        environment = {k: v for k, v in self.environment.items() if k not in _PERSONAL}
        environment[UPGRADE_VARIABLE] = ",".join(map(str, listener_fds))
        usable = self.directory is not None and os.path.isdir(self.directory)
        return subprocess.Popen(
            self.arguments,
            env=environment,
            cwd=self.directory if usable else None,
            pass_fds=listener_fds,
        )


class Upgrade:
    """The one upgrade that may be under way.

    **Threads:** the main one.
    """

    def __init__(
        self,
        launch: Launch,
        pidfile: Pidfile | None,
        notifier: Notifier,
        listener_fds: Sequence[int],
    ) -> None:
        self._launch = launch
        self._pidfile = pidfile
        self._notifier = notifier
        self._listener_fds = listener_fds
        self._child: subprocess.Popen[bytes] | None = None
        self._restoring = False

    @property
    def interval_s(self) -> float | None:
        """How long to wait at most until `advance` is called again; None for ever."""
        return RESTORE_INTERVAL_S if self._restoring else None

    @property
    def successor(self) -> int | None:
        """The number of the new process, while it lives."""
        self.advance()
        return None if self._child is None else self._child.pid

    def begin(self) -> None:
        """Start the new process, unless there is one. Failures are logged."""
        self.advance()
        if self._child is not None:
            _log.info("upgrade is under way already, by process %d", self._child.pid)
            return
        try:
            if self._pidfile is not None:
                self._pidfile.rename_for_upgrade()
        except OSError as error:
            _log.error("no upgrade: %s", _explain(error))
            return
        self._restoring = False
        try:
            self._child = self._launch.again(self._listener_fds)
        except (OSError, subprocess.SubprocessError) as error:
            _log.error("no upgrade: cannot start %s: %s", self._launch.arguments[0], error)
            self._take_back()
            return
        _log.info("upgrade begun by process %d", self._child.pid)

    def advance(self) -> None:
        """Notice the end of the new process, and take its place again."""
        if self._child is not None and self._child.poll() is not None:
            _log.info("upgrade ended: process %d %s", self._child.pid, how(self._child.returncode))
            self._child = None
            self._notifier.take_back()
            self._take_back()
        elif self._restoring:
            self._take_back()

    def _take_back(self) -> None:
        if self._pidfile is None:
            return
        try:
            self._restoring = not self._pidfile.restore()
        except OSError as error:
            _log.error("cannot take the pidfile back: %s", _explain(error))
            self._restoring = True


def how(returncode: int) -> str:
    """Say how a process ended, from its exit status or its negative signal."""
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def _explain(error: OSError) -> str:
    # Those of Pidfile are whole sentences, those of the system are not.
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
