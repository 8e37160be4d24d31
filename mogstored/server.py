"""The serving process: builds the parts, starts them, drains them, stops."""

from __future__ import annotations

import logging
import socket
from functools import partial

from mogpoll import Acceptor, WorkerPool, install_poke_handler, open_poller
from mogstored.config import Config
from mogstored.connection import Connection, Workspace
from mogstored.http.leftover import LINGER_S
from mogstored.http.session import HTTPSession
from mogstored.limits import Clients, Lingerers
from mogstored.listeners import Address, describe, open_listener
from mogstored.process.rlimits import raise_open_files
from mogstored.process.signals import STOPPING, SignalQueue
from mogstored.service import Service
from mogstored.storage.device import DEFAULT_SLOTS, Devices
from mogstored.storage.docroot import Docroot

_log = logging.getLogger("mogstored")

_THREADS_PER_DEVICE = 10
_MIN_THREADS = 10
_MAX_THREADS = 100
# Threads beyond those that disks may hold: the health probe is answered, and clients are
# taken leave of, even while every disk hangs.
_RESERVE = 2


class Server:
    """One node: everything between its listeners and its docroot.

    **Threads:** made and run by the main thread.
    """

    def __init__(self, config: Config) -> None:
        """Open the docroot and bind all sockets.

        **Raises:** `OSError` naming what could not be had; nothing is left behind then.
        """
        raise_open_files(config.maxconns)
        self._config = config
        self._docroot = Docroot(config.docroot)
        self._listeners: list[tuple[str, socket.socket]] = []
        self._bind("http", config.httplisten)
        self._bind("httpget", config.httpgetlisten)
        self._bind("mgmt", config.mgmtlisten)

    def run(self) -> None:
        """Serve until a signal says stop, then finish what clients have begun."""
        signals = SignalQueue()
        install_poke_handler()
        poller = open_poller()
        # The pool needs its size before there is anybody whom a device could resume.
        pool: WorkerPool[Connection, Workspace] = WorkerPool(
            poller, self._threads(), workspace=Workspace
        )
        devices = Devices(self._docroot.fileno(), pool.resume, DEFAULT_SLOTS)
        service = Service(self._docroot, devices, Clients(pool), Lingerers(pool, LINGER_S))
        acceptors = self._start_acceptors(service, pool)
        _log.info("ready")
        while not signals.wait() & STOPPING:
            pass
        _log.info("stopping")
        for acceptor in acceptors:
            acceptor.stop()
        for _, listener in self._listeners:
            listener.close()
        service.draining = True
        service.clients.drain()
        service.lingerers.stop()
        pool.stop()
        poller.close()
        self._docroot.close()

    def _bind(self, kind: str, address: Address | None) -> None:
        if address is not None:
            self._listeners.append((kind, open_listener(address)))

    def _threads(self) -> int:
        if self._config.aio_threads is not None:
            return self._config.aio_threads + _RESERVE
        wanted = _THREADS_PER_DEVICE * self._docroot.count_devices()
        return min(max(wanted, _MIN_THREADS), _MAX_THREADS) + _RESERVE

    def _start_acceptors(
        self, service: Service, pool: WorkerPool[Connection, Workspace]
    ) -> list[Acceptor]:
        acceptors = []
        for kind, listener in self._listeners:
            if kind == "mgmt":
                continue
            greet = partial(_take_on, service, pool, kind == "httpget")
            acceptor = Acceptor(
                listener,
                greet,
                on_pressure=service.clients.relieve_accept,
                name=f"accept-{kind}",
            )
            acceptors.append(acceptor)
        for kind, listener in self._listeners:
            _log.info("listening for %s on %s", kind, describe(listener))
        for acceptor in acceptors:
            acceptor.start()
        return acceptors


def _take_on(
    service: Service, pool: WorkerPool[Connection, Workspace], get_only: bool, sock: socket.socket
) -> None:
    """Make a session of an accepted socket, and let the pool have it."""
    session: Connection = HTTPSession(sock, service, get_only)
    service.clients.note_opened()
    try:
        pool.add(session)
    except BaseException:
        session.close()
        raise
