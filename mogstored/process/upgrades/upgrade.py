"""Upgrade the node by starting its program again beside the running process.

The new process is invoked as this one was, and inherits the listening sockets; both serve until
one of them is stopped. If the new one ends first, the old one takes its pidfile back.

The launcher starts the new process, so that neither threads nor hung disks can interfere. This
process does not wait for it: a start that hangs is given up, and a stop takes precedence.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from time import monotonic

from mogstored.children import describe_exit
from mogstored.log.printable import reason
from mogstored.process.signals import soonest
from mogstored.process.supervision.notify import Notifier
from mogstored.process.supervision.pidfile import Pidfile
from mogstored.process.upgrades.launcher import ENDED, FAILED, STARTED, Answer, Launcher

_log = logging.getLogger("mogstored")

# Between attempts to take the pidfile back, and between checks that a successor is running.
RESTORE_INTERVAL_S = 1.0
# How long a new process may take to execute the program.
_START_S = 20.0
# How long a stop waits for a successor that is being started, and for the launcher's end.
_STOP_WAIT_S = 2.0


class Upgrade:
    """At most one upgrade at a time.

    `forks_late` says that this process never has threads or files on disks; then the launcher is
    forked for each upgrade, and ends with it.

    **Threads:** the main one.
    """

    def __init__(
        self,
        launcher: Launcher,
        pidfile: Pidfile | None,
        notifier: Notifier,
        listener_fds: Sequence[int],
        *,
        forks_late: bool,
    ) -> None:
        self.launcher = launcher
        self._pidfile = pidfile
        self._notifier = notifier
        self._listener_fds = listener_fds
        self._forks_late = forks_late
        self._begun_at: float | None = None
        """None unless the new process has yet to execute the program."""
        self._successor: int | None = None
        self._restoring = False

    @property
    def interval_s(self) -> float | None:
        """The longest time until `advance` is called again; None if nothing is pending."""
        start_s = None if self._begun_at is None else self._begun_at + _START_S - monotonic()
        is_blind = self._successor is not None and not self.launcher.is_running
        return soonest(start_s, RESTORE_INTERVAL_S if self._restoring or is_blind else None)

    @property
    def successor(self) -> int | None:
        """The PID of the new process while it runs; waits for one that is being started."""
        self.advance()
        deadline = monotonic() + _STOP_WAIT_S
        while self._begun_at is not None and monotonic() < deadline:
            self.launcher.await_answer(deadline - monotonic())
            self.advance()
        return self._successor

    def let_go(self) -> None:
        """End the launcher: a new process becomes a child of process 1, as this one is."""
        self.launcher.end(_STOP_WAIT_S)

    def begin(self) -> None:
        """Start the new process, unless there is one; a failure is logged."""
        self.advance()
        if self._successor is not None:
            _log.info("upgrade is already running: process %d", self._successor)
            return
        if self._begun_at is not None:
            _log.info("upgrade is already running: its process is being started")
            return
        try:
            if self._pidfile is not None:
                self._pidfile.rename_for_upgrade()
        except OSError as error:
            _log.error("no upgrade: %s", _explain(error))
            return
        self._restoring = False
        self._begun_at = monotonic()
        try:
            if self._forks_late:
                self.launcher.start()
            self.launcher.request(self._listener_fds)
        except OSError as error:
            self._fail(f"cannot start {self._program}: {_explain(error)}")

    def advance(self) -> None:
        """Process the launcher's answers; take over again if the new process has ended."""
        for answer in self.launcher.answers():
            self._take(answer)
        if self._begun_at is not None and monotonic() >= self._begun_at + _START_S:
            self.launcher.kill_unstarted()
            self._fail(
                f"{self._program} has not started within {_START_S:.0f} s: "
                "its file or directory may be on a hung disk"
            )
        elif not self.launcher.is_running:
            self._do_without_launcher()
        if self._restoring:
            self._take_back()

    @property
    def _program(self) -> str:
        return self.launcher.invocation.arguments[0]

    def _take(self, answer: Answer) -> None:
        if answer.word == STARTED:
            self._begun_at, self._successor = None, answer.pid
            _log.info("upgrade started: process %d", answer.pid)
        elif answer.word == FAILED and self._begun_at is not None:
            error = OSError(answer.number, os.strerror(answer.number))
            self._fail(f"cannot start {self._program}: {_explain(error)}")
        elif answer.word == ENDED and answer.pid == self._successor:
            self._end(describe_exit(answer.number))

    def _do_without_launcher(self) -> None:
        if self._begun_at is not None:
            self._fail(f"cannot start {self._program}: the launcher process has ended")
        elif self._successor is not None:
            try:
                os.kill(self._successor, 0)
            except ProcessLookupError:
                self._end("has ended")
            except PermissionError:
                pass

    def _end(self, how_it_ended: str) -> None:
        _log.info("upgrade ended: process %d %s", self._successor, how_it_ended)
        self._successor = None
        self._notifier.take_back()
        self._take_back()
        self._dismiss_launcher()

    def _fail(self, why: str) -> None:
        _log.error("no upgrade: %s", why)
        self._begun_at = None
        self._take_back()
        self._dismiss_launcher()

    def _dismiss_launcher(self) -> None:
        if self._forks_late:
            self.launcher.abandon()

    def _take_back(self) -> None:
        if self._pidfile is None:
            return
        try:
            self._restoring = not self._pidfile.restore()
        except OSError as error:
            _log.error("cannot take the pidfile back: %s", _explain(error))
            self._restoring = True


def _explain(error: OSError) -> str:
    # Without an errno, the error is one of ours with a sentence.
    if error.errno is None:
        return str(error)
    return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
