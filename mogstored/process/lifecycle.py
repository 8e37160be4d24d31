"""The leading process's dealings with operators, the service manager and the caller of a daemon.

The leading process of a node is its master, or its only process. It acts on signals, reports READY
and STOPPING, shows its state in `ps`, and upgrades the node.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mogstored.admin.control import DRAINING, SERVING
from mogstored.config.model import Config
from mogstored.connections.access import admin_rules
from mogstored.log.bounded_writer import BoundedWriter
from mogstored.process.admin.keeper import AdminKeeper
from mogstored.process.main_loop import survive
from mogstored.process.reload import Reloader
from mogstored.process.signals import STOPPING, SignalQueue, soonest
from mogstored.process.supervision.daemonize import ReadyPipe
from mogstored.process.supervision.notify import Notifier
from mogstored.process.supervision.pid1 import OrphanReaper
from mogstored.process.supervision.title import Title
from mogstored.process.upgrades.upgrade import Upgrade

_log = logging.getLogger("mogstored")


@dataclass(slots=True)
class Lifecycle:
    """Used by the main thread."""

    signals: SignalQueue
    log: BoundedWriter
    title: Title
    notifier: Notifier
    upgrade: Upgrade
    admin: AdminKeeper
    caller: ReadyPipe | None
    """The process that waits for this daemon to be ready; None in the foreground."""
    orphans: OrphanReaper
    took_over: bool
    """Whether this process was started by an upgrade."""
    reloader: Reloader
    apply: Callable[[Config], object] | None = None
    """Lets the processes that serve have a configuration; set by the one that leads them."""

    def wait_interval_s(self) -> float | None:
        """Return how long to wait for signals at most until `wants_stop` is called again."""
        return soonest(
            self.upgrade.interval_s,
            self.admin.interval_s,
            self.notifier.keepalive_interval_s,
            self.orphans.interval_s,
        )

    def wants_stop(self, received: Iterable[int]) -> bool:
        """Act on the received signals; return True if one of them asks for a stop."""
        # An upgrade that was asked for just before a stop may be seen after it: signals that are
        # pending together have no order.
        # Source: https://man7.org/linux/man-pages/man7/signal.7.html
        for number in sorted(received, key=signal.SIGUSR2.__ne__):
            if number in STOPPING:
                # The others no longer matter.
                return True
            if number == signal.SIGUSR2:
                survive(self.upgrade.begin)
            elif number == signal.SIGHUP:
                survive(self._reload)
        self.upgrade.advance()
        self.admin.advance()
        return False

    def _reload(self) -> None:
        """Read the configuration again, apply it, and open the logs again."""
        self.log.reopen()
        self.reloader.reload(self._apply)

    def _apply(self, config: Config) -> None:
        if self.apply is not None:
            self.apply(config)
        access = tuple(rule.line for rule in admin_rules(config))
        level = config.log_level
        self.admin.update(lambda facts: facts._replace(access=access, log_level=level))

    def announce_ready(self) -> None:
        """Report that the node serves."""
        self.notifier.ready(takes_over=self.took_over)
        if self.caller is not None:
            self.caller.report()
        self.admin.update(lambda facts: facts._replace(state=SERVING))
        _log.info("ready")

    def announce_stopping(self) -> bool:
        """Report that the node stops, or that an upgraded process leads it; return the latter."""
        _log.info("stopping")
        self.title.show_stopping()
        successor = self.upgrade.successor
        has_successor = successor is not None
        self.admin.update(lambda facts: facts._replace(state=DRAINING, is_succeeded=has_successor))
        if successor is None:
            self.notifier.stopping()
        else:
            survive(self.upgrade.let_go)
            self.notifier.hand_over(successor)
        return has_successor
