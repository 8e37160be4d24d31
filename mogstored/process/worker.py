"""A worker process: a whole serving process that has a master to deal with the outside.

The first one does what only one process of a node should do: it writes the usage files and
measures the utilization of the disks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mogstored.config.model import Config
from mogstored.pacing import Pace
from mogstored.process.feed import (
    MeasuringFeed,
    decode_wanted,
    open_node_feed,
    open_relayed_feed,
)
from mogstored.process.link import Kind, Link
from mogstored.process.signals import STOPPING, SignalQueue
from mogstored.process.title import Title
from mogstored.server import Means, Server, Site
from mogstored.storage.utilization import UtilizationFeed


class WorkerProcess:
    """Used by the main thread of a process that was just forked, with signals blocked."""

    def __init__(
        self,
        number: int,
        link: Link,
        reports_fd: int,
        title: Title,
        sign_interval_s: float | None,
    ) -> None:
        self._link = link
        self._title = title
        self._sign_interval_s = sign_interval_s
        self._signs = None if sign_interval_s is None else Pace(sign_interval_s)
        self._number = number
        self._reports_fd = reports_fd
        self._measuring: MeasuringFeed | None = None
        self._is_last = False

    def run(self, config: Config, sites: Sequence[Site]) -> None:
        """Serve until a signal says stop or the master vanishes; then finish and return."""
        self._title.show_part(f"worker[{self._number}]")
        self._signals = SignalQueue()
        self._server = Server(config, sites, self._means(config))
        self._server.start()
        self._link.send(Kind.READY)
        while not self._wants_stop(self._signals.wait(self._sign_interval_s, self._link.fileno())):
            self._show_life()
        self._title.show_stopping()
        # Without a master nobody replaces us.
        takes_backlog = self._is_last or self._link.is_over
        self._server.drain(self._look_after_drain, takes_backlog=takes_backlog)

    def _means(self, config: Config) -> Means:
        feed: UtilizationFeed
        if self._number == 0:
            feed = self._measuring = MeasuringFeed(open_node_feed(config), self._link)
        else:
            feed = open_relayed_feed(self._reports_fd, self._link)
        return Means(
            feed=feed,
            writes_usage=self._number == 0,
            request_stop=lambda: self._link.send(Kind.SHUTDOWN),
            call_in_main_thread=self._signals.call,
        )

    def _wants_stop(self, received: Iterable[int]) -> bool:
        for kind, content in self._link.receive():
            if kind is Kind.WANT and self._measuring is not None:
                self._measuring.want_elsewhere(decode_wanted(content))
            elif kind is Kind.LAST_CALL:
                self._is_last = True
        return self._link.is_over or not STOPPING.isdisjoint(received)

    def _look_after_drain(self, clients: int) -> None:
        self._wants_stop(self._signals.receive())
        self._link.send(Kind.CLIENTS, b"%d" % clients)
        self._show_life()

    def _show_life(self) -> None:
        if self._signs is not None and self._signs.is_due() and self._server.pulse.beat():
            self._link.send(Kind.ALIVE)
