"""The node as one process."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from mogstored.config.model import Config
from mogstored.pacing import Pace
from mogstored.process.feed import open_node_feed
from mogstored.process.outside import Outside
from mogstored.server import Means, Server, Site


class Single:
    """One serving process that deals with the outside itself; used by the main thread."""

    def __init__(self, config: Config, sites: Sequence[Site], outside: Outside) -> None:
        self._outside = outside
        interval_s = outside.notifier.sign_interval_s
        self._signs = None if interval_s is None else Pace(interval_s)
        self._server = Server(
            config,
            sites,
            Means(
                feed=open_node_feed(config),
                writes_usage=True,
                request_stop=lambda: outside.signals.pretend(signal.SIGTERM),
                call_in_main_thread=outside.signals.call,
            ),
        )

    def run(self) -> None:
        """Serve until somebody says stop, then finish what clients have begun."""
        outside = self._outside
        self._server.start()
        outside.announce_ready()
        while not outside.wants_stop(outside.signals.wait(outside.wait_interval_s())):
            self._show_life()
        outside.announce_stopping()
        self._server.drain(self._look_after_drain, takes_backlog=outside.upgrade.successor is None)

    def _look_after_drain(self, clients: int) -> None:
        # Being asked again changes nothing, but errands are run.
        self._outside.signals.receive()
        self._outside.notifier.draining(clients)
        self._show_life()

    def _show_life(self) -> None:
        if self._signs is not None and self._signs.is_due() and self._server.pulse.beat():
            self._outside.notifier.sign_of_life()
