"""The server in a process: all services on one poller and one pool of threads.

It builds the parts, starts them, drains and stops them. It knows neither signals nor other
processes: `mogstored.process` says when to start and stop, and passes `ProcessHooks`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

from mogpoll import Acceptor, WorkerPool, open_poller
from mogpoll.pool.crew import default_spare
from mogpoll.threads import try_start_thread
from mogstored.collector import Collector, Parts
from mogstored.config.model import Config, ServiceConfig
from mogstored.connections.accepting import make_acceptor
from mogstored.connections.access import Gate, access_list
from mogstored.connections.buffers import Buffers
from mogstored.connections.clients import Clients
from mogstored.connections.connection import Connection
from mogstored.connections.heartbeat import Heartbeat
from mogstored.connections.lingering_close import LingeringClose
from mogstored.connections.listeners import BACKLOG, Listener
from mogstored.connections.time_limits import TimeLimits
from mogstored.connections.time_outs import TimeOuts
from mogstored.devices.device import Devices
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.leftovers import LeftoverSweeper
from mogstored.devices.mounts.guard import MountGuard
from mogstored.devices.refresh import Refresher
from mogstored.devices.shares import default_threads, most_in_each
from mogstored.devices.sickness.symptoms import ErrorLimits
from mogstored.devices.sickness.ward import Ward
from mogstored.devices.watchdog import SlotAllocator, Watchdog
from mogstored.files.checksums.body_digest import HashingThreads
from mogstored.files.digests import FsckQueue
from mogstored.files.docroot import Docroot
from mogstored.files.recent_files import RecentFiles, size_in_each
from mogstored.files.state_dir import StateDir
from mogstored.http.connection import LINGER_S
from mogstored.http.dispatch import HTTPSession
from mogstored.observability.access_log import AccessLog
from mogstored.observability.access_log_choice import AccessLogChoice
from mogstored.observability.counters import Counters
from mogstored.observer import Observer
from mogstored.scrub.background import BackgroundScrub
from mogstored.service import Service
from mogstored.sidechannel.commands import SidechannelSession
from mogstored.utilization.report import UtilizationFeed
from mogstored.utilization.watchers import Watchers

_log = logging.getLogger("mogstored")

# Threads beyond those that disks can block: they answer health probes, and close connections, even
# while every disk hangs.
_RESERVE = 2

# How long a start waits for the first usage records of the devices.
_FIRST_ROUND_S = 5.0
# How long the clean-up may take after `stop_timeout`.
_CLEAN_UP_S = 1.0


class BoundService(NamedTuple):
    """A service before it is served: its settings, its docroot, and its listening sockets."""

    config: ServiceConfig
    docroot: Docroot
    listeners: tuple[Listener, ...]

    @property
    def has_sidechannel(self) -> bool:
        return any(listener.kind == "mgmt" for listener in self.listeners)

    def close_listeners(self) -> None:
        for listener in self.listeners:
            listener.sock.close()


class ProcessHooks(NamedTuple):
    """What a server needs from its process.

    `keepalive_interval_s` is None if no service manager wants keep-alives.

    **Threads:** the callables may be called from any, and do not block.
    """

    feed: UtilizationFeed
    writes_usage: bool
    keepalive_interval_s: float | None
    request_stop: Callable[[], None]
    call_in_main_thread: Callable[[Callable[[], None]], None]
    number: int = 0
    """Of the worker process; 0 in a single one."""
    observer_sock: socket.socket | None = None
    """The channel of the admin process, if there is one; the server owns it."""
    count_lost_messages: Callable[[], int] = lambda: 0
    """Returns how many messages the log has lost."""


class Server:
    """Everything between the listeners and the docroots of a process.

    **Threads:** created and used by the main one, after the last fork of the process.
    """

    def __init__(
        self, config: Config, bound_services: Sequence[BoundService], hooks: ProcessHooks
    ) -> None:
        self._bound = bound_services
        self._hooks = hooks
        self._stop_timeout_s = config.stop_timeout_s
        self._poller = open_poller()
        self._counters = Counters()
        devices = sum(bound.docroot.count_devices() for bound in bound_services)
        self._recent_files_size = size_in_each(config.worker_processes.number)
        most = most_in_each(config.worker_processes.number)
        threads = config.aio_threads or default_threads(devices, most)
        self._pool: WorkerPool[Connection, Buffers] = WorkerPool(
            self._poller,
            threads + _RESERVE,
            spare=running_in_each(config.worker_processes.number),
            workspace=lambda: Buffers(self._counters.of_thread()),
        )
        self._slot_allocator = SlotAllocator(
            threads, devices, self._resize_pool, lambda: self._pool.size - _RESERVE, most
        )
        self._clients = Clients(self._pool)
        self._lingering = LingeringClose(self._pool, LINGER_S)
        self._time_outs = TimeOuts(self._pool)
        self._watchdog = Watchdog(self._slot_allocator, self._time_outs.start_missing)
        self._watchers = Watchers(self._pool, hooks.feed)
        self._error_limits = ErrorLimits()
        self._fsck_queue = FsckQueue(self._pool.resume)
        self._hashing = HashingThreads()
        self._access_log = AccessLogChoice(
            config.access_log, config.access_log_format, self._set_access_log
        )
        is_observed = hooks.observer_sock is not None
        looks_at_all = is_observed or config.min_free is not None or config.scrub is not None
        self._services = [
            self._make_service(bound, looks=looks_at_all or bound.has_sidechannel)
            for bound in bound_services
        ]
        self._refresher = Refresher(
            [each.inventory for each in self._services if each.inventory is not None],
            interval_s=config.usage_interval_s,
            writes_files=hooks.writes_usage,
            on_pressure=self._clients.relieve,
        )
        self._ward = Ward(
            [(each.docroot, each.devices) for each in self._services], leads=hooks.writes_usage
        )
        self._leftovers = LeftoverSweeper(
            [
                each.inventory
                for each in self._services
                if hooks.writes_usage and each.inventory is not None
            ]
        )
        self._scrub = self._make_scrub(config)
        self._measures = is_observed or any(bound.has_sidechannel for bound in bound_services)
        self._acceptors: list[Acceptor] = []
        # As the listeners of the services.
        self._gates = [
            [Gate(listener.kind) for listener in bound.listeners] for bound in bound_services
        ]
        self._apply_limits(config)
        self._observer: Observer | None = None
        self._state = "starting"
        self._collector = Collector(
            Parts(
                self._services,
                self._pool,
                self._clients,
                self._counters,
                self._hashing,
                self._watchers,
                count_dropped_exchanges=self._access_log.count_dropped,
                count_acceptors=lambda: len(self._acceptors),
                count_lost_messages=hooks.count_lost_messages,
                scrub_of=self._scrub.report,
            ),
            hooks.number,
        )
        self.heartbeat = Heartbeat(self._pool.resume, hooks.keepalive_interval_s)

    def start(self) -> None:
        """Examine the devices, then accept clients.

        **Raises:** `ThreadRefused`; the process should end then.
        """
        # All permanent threads are started here: later the system may refuse them.
        self._access_log.start()
        if self._hooks.observer_sock is not None:
            self._observer = Observer(self._hooks.observer_sock, self.snapshot)
            self._observer.start()
        self._lingering.start()
        self._time_outs.start()
        self._watchdog.start()
        if self._measures:
            self._watchers.start()
            if self._observer is not None and self._hooks.writes_usage:
                # One process of the node is enough.
                self._watchers.observe()
            self._hooks.feed.start(self._watchers.publish)
        self._ward.start()
        self._refresher.start()
        self._refresher.start_first_round(_FIRST_ROUND_S)
        self._leftovers.start()
        self._scrub.start()
        for bound, service, gates in zip(self._bound, self._services, self._gates, strict=True):
            for listener, gate in zip(bound.listeners, gates, strict=True):
                make = partial(_SESSIONS[listener.kind], service=service)
                acceptor = make_acceptor(listener, gate, make, self._clients, self._pool)
                self._acceptors.append(acceptor)
        for acceptor in self._acceptors:
            acceptor.start()
        self._state = "serving"

    def apply(self, config: Config) -> None:
        """Take over the reloadable settings of a configuration with the same services."""
        self._apply_limits(config)
        self._access_log.apply(config.access_log, config.access_log_format)

    def _set_access_log(self, log: AccessLog | None) -> None:
        for service in self._services:
            service.access_log = log

    def reopen_access_log(self) -> None:
        """Open the file of the access log again, after it was renamed."""
        self._access_log.reopen()

    def drain(self, on_round: Callable[[int], object], *, takes_backlog: bool) -> None:
        """Stop accepting, finish the requests that have begun, and release everything.

        With `takes_backlog`, connections already in the backlog are accepted first: they may carry
        a request, and no other process will accept them. `on_round` is called now and then with
        the number of clients left. Devices are examined until the last client is gone, because
        other worker processes of the node rely on this one for that.

        Without `stop_timeout` this takes as long as the slowest client or disk. With it, requests
        are given up at that time, and what cannot be released is left to the system: a thread
        blocked by a disk keeps the process in the process table until the disk answers.
        """
        deadline = None if self._stop_timeout_s is None else monotonic() + self._stop_timeout_s
        self._state = "draining"
        self._scrub.begin_stop()
        self._stop_accepting(takes_backlog)
        for service in self._services:
            service.draining = True
        self._fsck_queue.open()
        self._watchers.stop(deadline)
        has_drained = self._clients.drain(on_round, deadline)
        if not has_drained:
            self._give_up()
        self._lingering.stop()
        self._time_outs.stop()
        if self._measures:
            self._hooks.feed.stop()
        self._leftovers.stop()
        self._scrub.stop()
        self._refresher.stop()
        self._ward.stop()
        self._watchdog.stop()
        if self._observer is not None:
            self._observer.stop()
        if deadline is None:
            self._release()
        else:
            self._release_until(deadline, has_drained=has_drained)
        self._access_log.stop()

    def snapshot(self) -> bytes:
        """Return what the process has counted so far, encoded; called by the observer."""
        return self._collector.collect(self._state)

    def _stop_accepting(self, takes_backlog: bool) -> None:
        listeners = (listener for bound in self._bound for listener in bound.listeners)
        for acceptor, listener in zip(self._acceptors, listeners, strict=True):
            acceptor.stop(last_call=BACKLOG if takes_backlog else 0)
            listener.sock.close()

    def _give_up(self) -> None:
        """Log what keeps requests from ending, and disconnect the clients."""
        loads = self._slot_allocator.busy()
        causes = [
            f"{device} ({it.held} running, {it.waiting} waiting)" for device, it in loads.items()
        ]
        others = sum(not each.is_idle() for each in self._pool.waiting_tasks())
        if others:
            causes.append(f"{others} waiting for clients")
        _log.error(
            "gave up %d requests that have not ended within %d s of the stop: %s",
            others + sum(it.held + it.waiting for it in loads.values()),
            self._stop_timeout_s,
            ", ".join(causes),
        )
        for device in loads:
            device.cancel(set(device.parked()))
        self._clients.dismiss(_CLEAN_UP_S)

    def _release_until(self, deadline: float, *, has_drained: bool) -> None:
        """Release in a thread of its own: closing a file may hang."""
        thread = try_start_thread(self._release, "release")
        if thread is not None:
            thread.join(max(_CLEAN_UP_S, deadline - monotonic()))
        elif has_drained:
            self._release()

    def _release(self) -> None:
        self._pool.stop()
        self._hashing.stop()
        self._poller.close()
        for bound in self._bound:
            bound.docroot.close()

    def _make_service(self, bound: BoundService, *, looks: bool) -> Service:
        threads = self._slot_allocator
        devices = Devices(
            bound.docroot,
            self._pool.resume,
            threads.shares,
            threads.shared,
            limits=self._error_limits,
            logs_looks=self._hooks.writes_usage,
        )
        threads.devices.append(devices)
        self._clients.add_queue(devices.expire)
        return Service(
            docroot=bound.docroot,
            devices=devices,
            recent_files=RecentFiles(self._recent_files_size // len(self._bound)),
            clients=self._clients,
            lingering=self._lingering,
            inventory=(
                DeviceInventory(bound.docroot, devices, require_mount=bound.config.require_mount)
                if looks
                else None
            ),
            watchers=self._watchers,
            fsck_queue=self._fsck_queue,
            hashing=self._hashing,
            set_aio_threads=threads.set_count,
            number=self._bound.index(bound),
            request_stop=self._hooks.request_stop,
            guard=MountGuard(bound.docroot) if bound.config.require_mount else None,
            access_log=self._access_log.log,
            counters=self._counters,
        )

    def _make_scrub(self, config: Config) -> BackgroundScrub:
        docroots = [
            (each.inventory, StateDir(each.docroot))
            for each in self._services
            if config.scrub is not None and self._hooks.writes_usage and each.inventory is not None
        ]
        period_s = 0 if config.scrub is None else config.scrub.seconds
        return BackgroundScrub(docroots, period_s, config.scrub_rate)

    def _resize_pool(self, threads: int) -> None:
        self._hooks.call_in_main_thread(partial(self._pool.resize, threads + _RESERVE))

    def _apply_limits(self, config: Config) -> None:
        """Use the limits of a configuration with the same services from now on."""
        self._time_outs.apply(TimeLimits.of(config))
        self._error_limits.apply(config)
        for settings, gates in zip(config.services, self._gates, strict=True):
            for gate in gates:
                gate.access = access_list(settings.access, gate.kind)
        for service in self._services:
            service.keep_free(config.min_free)


def running_in_each(processes: int) -> int:
    """Return how many threads of each of so many processes run while no disk blocks them.

    Without the interpreter lock one process uses all processors; several share them out.
    """
    return max(1, default_spare() // max(1, processes))


_SESSIONS: dict[str, Callable[..., Connection]] = {
    "http": HTTPSession,
    "httpget": partial(HTTPSession, get_only=True),
    "mgmt": SidechannelSession,
}
