"""The node as a single process: it serves, and leads itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from mogstored.admin.control import ServingProcess
from mogstored.config.model import Config
from mogstored.process.lifecycle import Lifecycle
from mogstored.process.main_loop import run_loop, survive
from mogstored.process.utilization_relay import open_node_feed
from mogstored.server import BoundService, ProcessHooks, Server


class SingleProcess:
    """Used by the main thread."""

    def __init__(
        self, config: Config, bound_services: Sequence[BoundService], lifecycle: Lifecycle
    ) -> None:
        self._lifecycle = lifecycle
        channel = lifecycle.admin.open_channel()
        hooks = ProcessHooks(
            feed=open_node_feed(config),
            writes_usage=True,
            keepalive_interval_s=lifecycle.notifier.keepalive_interval_s,
            request_stop=lambda: lifecycle.signals.inject(signal.SIGTERM),
            call_in_main_thread=lifecycle.signals.call,
            observer_sock=channel and channel.observers,
            count_lost_messages=lambda: lifecycle.log.lost,
        )
        self._server = Server(config, bound_services, hooks)
        lifecycle.apply = self._server.apply
        if channel is not None:
            lifecycle.admin.add(ServingProcess(0, os.getpid()), channel.ours)

    def run(self) -> None:
        """Serve until a stop is asked for, then drain.

        **Raises:** `ThreadRefused`.
        """
        self._server.start()
        self._lifecycle.announce_ready()
        run_loop(self._is_over)
        has_successor = survive(self._lifecycle.announce_stopping)
        self._server.drain(
            lambda clients: survive(self._during_drain, clients),
            takes_backlog=not has_successor,
        )

    def _is_over(self) -> bool:
        """Wait for signals and act on them; return True if one of them asks for a stop."""
        received = self._lifecycle.signals.wait(self._lifecycle.wait_interval_s())
        if signal.SIGUSR1 in received:
            self._server.reopen_access_log()
        if self._lifecycle.wants_stop(received):
            return True
        self._do_chores()
        return False

    def _during_drain(self, clients: int) -> None:
        # Runs callbacks; of the signals that come now, only USR1 means something.
        if signal.SIGUSR1 in self._lifecycle.signals.receive():
            self._server.reopen_access_log()
        self._lifecycle.notifier.draining(clients)
        self._do_chores()

    def _do_chores(self) -> None:
        self._lifecycle.orphans.reap()
        if self._server.heartbeat.is_due():
            self._lifecycle.notifier.keepalive()
