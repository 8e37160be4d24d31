"""A serving process: all services on one poller and one pool of threads.

It knows nothing of signals and other processes: those who run it (`mogstored.process`) say
when to start, when to stop, and what to tell whom.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

from mogpoll import Acceptor, WorkerPool, open_poller
from mogpoll.stopping import signals_blocked
from mogstored.config.model import Config, ServiceConfig
from mogstored.connection import Connection, Workspace
from mogstored.http.body_md5 import HashingThreads
from mogstored.http.leftover import LINGER_S
from mogstored.http.session import HTTPSession
from mogstored.limits import Clients, Lingerers
from mogstored.listeners import BACKLOG, Listener
from mogstored.process.pulse import Pulse
from mogstored.process.rlimits import max_open_files
from mogstored.service import Service
from mogstored.sidechannel.session import SidechannelSession
from mogstored.sidechannel.watchers import Watchers
from mogstored.storage.book import DeviceBook, MountGuard
from mogstored.storage.device import Devices
from mogstored.storage.device_watch import DeviceWatch, DiskThreads
from mogstored.storage.digests import FsckLines
from mogstored.storage.docroot import Docroot
from mogstored.storage.open_files import OpenFiles
from mogstored.storage.refresh import Refresher
from mogstored.storage.utilization import UtilizationFeed

_log = logging.getLogger("mogstored")

_THREADS_PER_DEVICE = 10
_MIN_THREADS = 10
_MAX_THREADS = 100
# Threads beyond those that disks may hold: the health probe is answered, and clients are
# taken leave of, even while every disk hangs.
_RESERVE = 2

# Files of a docroot that are kept open for their next reader, at most.
_MAX_OPEN_FILES = 1000
_OPEN_FILES_SHARE = 10

# How long the start waits for the disks to tell how full they are.
_FIRST_ROUND_S = 5.0
# How long the clean-up may take once a stop has run out of time.
_CLEAN_UP_S = 1.0


class Site(NamedTuple):
    """A service that is not served yet: its docroot and its listening sockets."""

    config: ServiceConfig
    docroot: Docroot
    listeners: tuple[Listener, ...]

    @property
    def has_sidechannel(self) -> bool:
        return any(listener.kind == "mgmt" for listener in self.listeners)

    def close_listeners(self) -> None:
        for listener in self.listeners:
            listener.sock.close()


class Means(NamedTuple):
    """What a serving process needs of those who run it.

    The two callables may be called from any thread, and do not block.
    """

    feed: UtilizationFeed
    writes_usage: bool
    request_stop: Callable[[], None]
    call_in_main_thread: Callable[[Callable[[], None]], None]


class Server:
    """Everything between the listeners and the docroots of a process.

    **Threads:** made and used by the main thread, after the last fork of the process.
    """

    def __init__(self, config: Config, sites: Sequence[Site], means: Means) -> None:
        self._sites = sites
        self._means = means
        self._stop_timeout_s = config.stop_timeout_s
        self._poller = open_poller()
        devices = sum(site.docroot.count_devices() for site in sites)
        threads = config.aio_threads or _count_threads(devices)
        # The pool needs its size before there is anybody whom a device could resume.
        self._pool: WorkerPool[Connection, Workspace] = WorkerPool(
            self._poller, threads + _RESERVE, workspace=Workspace
        )
        self._disk_threads = DiskThreads(threads, devices, self._resize_pool)
        self._device_watch = DeviceWatch(self._disk_threads)
        self._clients = Clients(self._pool)
        self._lingerers = Lingerers(self._pool, LINGER_S)
        self._watchers = Watchers(self._pool, means.feed)
        self._fsck_lines = FsckLines(self._pool.resume)
        self._hashing = HashingThreads()
        self._services = [self._make_service(site) for site in sites]
        self._refresher = Refresher(
            [service for service in self._services if service.book is not None],
            interval_s=config.usage_interval_s,
            writes_files=means.writes_usage,
            on_pressure=self._clients.relieve,
        )
        self._is_watched = any(site.has_sidechannel for site in sites)
        self._acceptors: list[Acceptor] = []
        self.pulse = Pulse(self._pool.resume)

    def start(self) -> None:
        """Look at the devices, then let clients in."""
        self._refresher.start_first_round(_FIRST_ROUND_S)
        self._refresher.start()
        self._device_watch.start()
        if self._is_watched:
            self._means.feed.start(self._watchers.publish)
        for site, service in zip(self._sites, self._services, strict=True):
            self._acceptors += [self._make_acceptor(service, each) for each in site.listeners]
        for acceptor in self._acceptors:
            acceptor.start()

    def drain(self, on_round: Callable[[int], None], *, takes_backlog: bool) -> None:
        """Let nobody in, finish what clients have begun, and release everything.

        Clients who have connected already are still let in with `takes_backlog`: nobody
        else would, and they may have sent a request. `on_round` is called now and then with
        the number of clients that are left. What looks at the disks goes on until the last
        one has gone: with workers, it is the only one of the node.

        Without a time-out in the configuration this takes as long as the slowest client,
        or the slowest disk. With one, it gives up then, and leaves to the system what it
        cannot release: threads that hang keep the process in its tables until they do not.
        """
        deadline = None if self._stop_timeout_s is None else monotonic() + self._stop_timeout_s
        listeners = (listener for site in self._sites for listener in site.listeners)
        for acceptor, listener in zip(self._acceptors, listeners, strict=True):
            acceptor.stop(last_call=BACKLOG if takes_backlog else 0)
            listener.sock.close()
        for service in self._services:
            service.draining = True
        self._fsck_lines.open()
        self._watchers.stop(deadline)
        if not self._clients.drain(on_round, deadline):
            self._give_up()
        self._lingerers.stop()
        if self._is_watched:
            self._means.feed.stop()
        self._refresher.stop()
        self._device_watch.stop()
        if deadline is None:
            self._release()
        else:
            # Closing a file can hang, too.
            releasing = threading.Thread(target=self._release, name="release", daemon=True)
            with signals_blocked():
                releasing.start()
            releasing.join(max(_CLEAN_UP_S, deadline - monotonic()))

    def _release(self) -> None:
        self._pool.stop()
        self._hashing.stop()
        self._poller.close()
        for service in self._services:
            service.open_files.close()
        for site in self._sites:
            site.docroot.close()

    def _give_up(self) -> None:
        """Log what is not finished and why, and send everybody away who can be."""
        loads = self._disk_threads.busy()
        shown = [
            f"{device} ({it.held} at it, {it.waiting} waiting)" for device, it in loads.items()
        ]
        others = sum(not each.is_idle() for each in self._pool.waiting_tasks())
        if others:
            shown.append(f"{others} for their clients")
        _log.error(
            "gave up %d requests that have not ended within %d s of the stop: %s",
            others + sum(it.held + it.waiting for it in loads.values()),
            self._stop_timeout_s,
            ", ".join(shown),
        )
        for device in loads:
            device.forget(device.parked())
        self._clients.dismiss(_CLEAN_UP_S)

    def _make_service(self, site: Site) -> Service:
        threads = self._disk_threads
        devices = Devices(site.docroot.fileno(), self._pool.resume, threads.shares, threads.lent)
        threads.devices.append(devices)
        return Service(
            docroot=site.docroot,
            devices=devices,
            open_files=self._make_open_files(),
            clients=self._clients,
            lingerers=self._lingerers,
            book=_make_book(site, devices) if site.has_sidechannel else None,
            watchers=self._watchers,
            fsck_lines=self._fsck_lines,
            hashing=self._hashing,
            set_aio_threads=threads.set_count,
            request_stop=self._means.request_stop,
            guard=MountGuard(site.docroot) if site.config.require_mount else None,
        )

    def _make_open_files(self) -> OpenFiles:
        # Clients need most of the descriptors that the process may have.
        granted = max_open_files() // _OPEN_FILES_SHARE
        open_files = OpenFiles(min(granted // len(self._sites), _MAX_OPEN_FILES))
        self._clients.add_reserve(open_files.drop_all)
        return open_files

    def _resize_pool(self, threads: int) -> None:
        self._means.call_in_main_thread(partial(self._pool.resize, threads + _RESERVE))

    def _make_acceptor(self, service: Service, listener: Listener) -> Acceptor:
        return Acceptor(
            listener.sock,
            partial(_take_on, service, self._pool, _SESSIONS[listener.kind]),
            on_pressure=service.clients.relieve_accept,
            name=f"accept-{listener.kind}",
        )


_SESSIONS: dict[str, Callable[..., Connection]] = {
    "http": HTTPSession,
    "httpget": partial(HTTPSession, get_only=True),
    "mgmt": SidechannelSession,
}


def _take_on(
    service: Service,
    pool: WorkerPool[Connection, Workspace],
    make_session: Callable[..., Connection],
    sock: socket.socket,
) -> None:
    """Make a session of an accepted socket, and let the pool have it."""
    session = make_session(sock, service)
    service.clients.note_opened()
    try:
        pool.add(session)
    except BaseException:
        session.close()
        raise


def _make_book(site: Site, devices: Devices) -> DeviceBook:
    require_mount = site.config.require_mount
    return DeviceBook(site.docroot, require_mount=require_mount, learn=devices.learn)


def _count_threads(devices: int) -> int:
    return min(max(_THREADS_PER_DEVICE * devices, _MIN_THREADS), _MAX_THREADS)
