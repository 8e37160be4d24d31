"""What the leading process of a node, a single one or a master, has to do with the outside.

Operators send signals, read `ps` and the log, upgrade; a service manager wants to know how
we are; the caller of a daemon waits until it serves.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from mogstored.process.daemonize import ReadyPipe
from mogstored.process.notify import Notifier
from mogstored.process.signals import STOPPING, SignalQueue
from mogstored.process.title import Title
from mogstored.process.upgrade import Upgrade

_log = logging.getLogger("mogstored")


@dataclass(slots=True)
class Outside:
    """The ways to the outside; used by the main thread."""

    signals: SignalQueue
    title: Title
    notifier: Notifier
    upgrade: Upgrade
    caller: ReadyPipe | None
    """Who waits for this daemon to serve; None in the foreground."""
    took_over: bool
    """Whether this process was started by an upgrade."""

    def wait_interval_s(self) -> float | None:
        """Return how long to wait for signals at most before looking after things."""
        intervals = [self.upgrade.interval_s, self.notifier.sign_interval_s]
        return min((each for each in intervals if each is not None), default=None)

    def wants_stop(self, received: Iterable[int]) -> bool:
        """Do what the received signals ask for; True when that is to stop."""
        for number in received:
            if number in STOPPING:
                # Whatever comes after it changes nothing.
                return True
            if number == signal.SIGUSR2:
                self.upgrade.begin()
        self.upgrade.advance()
        return False

    def announce_ready(self) -> None:
        """Say that the node serves."""
        self.notifier.ready(takes_over=self.took_over)
        if self.caller is not None:
            self.caller.report()
        _log.info("ready")

    def announce_stopping(self) -> None:
        """Say that the node stops; a service manager hears who goes on, if somebody does."""
        _log.info("stopping")
        self.title.show_stopping()
        successor = self.upgrade.successor
        if successor is None:
            self.notifier.stopping()
        else:
            self.notifier.hand_over(successor)
