"""A worker process: serves like a single process, and has a master as its leader.

The first worker also does what one process of a node does for all: it writes the usage files and
measures the utilization of the disks.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Collection, Sequence

from mogstored.config.model import Config
from mogstored.log.bounded_writer import BoundedWriter
from mogstored.log.handlers import set_level
from mogstored.process.ipc import IpcChannel, Kind
from mogstored.process.main_loop import run_loop, survive
from mogstored.process.signals import STOPPING, SignalQueue
from mogstored.process.supervision.title import Title
from mogstored.process.utilization_relay import (
    MeasuringFeed,
    decode_wanted,
    open_node_feed,
    open_relayed_feed,
)
from mogstored.server import BoundService, ProcessHooks, Server
from mogstored.utilization.report import UtilizationFeed


class WorkerProcess:
    """Used by the main thread of a newly forked process, with signals blocked."""

    def __init__(
        self,
        number: int,
        ipc: IpcChannel,
        reports_fd: int,
        title: Title,
        log: BoundedWriter,
        keepalive_interval_s: float | None,
        observer_sock: socket.socket | None = None,
    ) -> None:
        self._ipc = ipc
        self._title = title
        self._log = log
        self._keepalive_interval_s = keepalive_interval_s
        self._number = number
        self._observer_sock = observer_sock
        self._reports_fd = reports_fd
        self._measuring: MeasuringFeed | None = None
        self._has_successor = True
        self._is_asked_to_stop = False

    def run(self, config: Config, bound_services: Sequence[BoundService]) -> None:
        """Serve until a signal asks for a stop or the master is gone, then drain.

        **Raises:** `ThreadRefused`.
        """
        self._title.show_role(f"worker[{self._number}]")
        self._signals = SignalQueue()
        self._signals.flusher.add(self._log)
        self._signals.flusher.add(self._ipc)
        self._server = Server(config, bound_services, self._hooks(config))
        self._server.start()
        self._ipc.send(Kind.READY)
        run_loop(self._is_over)
        self._title.show_stopping()
        self._server.drain(
            lambda clients: survive(self._during_drain, clients),
            # A worker is replaced only by a master that lives.
            takes_backlog=self._ipc.is_over or not self._has_successor,
        )

    def _is_over(self) -> bool:
        """Wait for signals and messages and act on them; return True if it is time to stop."""
        received = self._signals.wait(self._keepalive_interval_s, self._ipc.fileno())
        if self._wants_stop(received):
            return True
        self._send_keepalive()
        return False

    def _hooks(self, config: Config) -> ProcessHooks:
        feed: UtilizationFeed
        if self._number == 0:
            feed = self._measuring = MeasuringFeed(open_node_feed(config), self._ipc)
        else:
            feed = open_relayed_feed(self._reports_fd, self._ipc)
        return ProcessHooks(
            feed=feed,
            writes_usage=self._number == 0,
            keepalive_interval_s=self._keepalive_interval_s,
            request_stop=lambda: self._ipc.send(Kind.SHUTDOWN),
            call_in_main_thread=self._signals.call,
            number=self._number,
            observer_sock=self._observer_sock,
            count_lost_messages=lambda: self._log.lost,
        )

    def _wants_stop(self, received: Collection[int]) -> bool:
        self._is_asked_to_stop |= not STOPPING.isdisjoint(received)
        if signal.SIGUSR1 in received:
            self._server.reopen_access_log()
        for kind, content in self._ipc.receive():
            if kind is Kind.WANT and self._measuring is not None:
                survive(self._measuring.want_elsewhere, decode_wanted(content))
            elif kind is Kind.LAST_CALL:
                self._has_successor = False
            elif kind is Kind.RELOAD:
                survive(self._apply, content)
        return self._ipc.is_over or self._is_asked_to_stop

    def _apply(self, content: bytes) -> None:
        """Take over what has changed in the configuration, and open the logs again."""
        # Late: few nodes are ever asked to.
        import pickle

        config: Config = pickle.loads(content)
        set_level(config.log_level)
        self._log.reopen()
        self._server.apply(config)

    def _during_drain(self, clients: int) -> None:
        self._wants_stop(self._signals.receive())
        self._ipc.send(Kind.CLIENTS, b"%d" % clients)
        self._send_keepalive()

    def _send_keepalive(self) -> None:
        if self._server.heartbeat.is_due():
            self._ipc.send(Kind.ALIVE)
