"""The sidechannel in the process of the test, with a feed that the test publishes."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from mogpoll import WorkerPool, open_poller
from mogstored.connections.buffers import Buffers
from mogstored.connections.clients import Clients
from mogstored.connections.connection import Connection
from mogstored.connections.lingering_close import LingeringClose
from mogstored.devices.device import Devices
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.shares import Shares
from mogstored.files.checksums.body_digest import HashingThreads
from mogstored.files.digests import FsckQueue
from mogstored.files.docroot import Docroot
from mogstored.files.recent_files import RecentFiles
from mogstored.service import Service
from mogstored.sidechannel.commands import SidechannelSession
from mogstored.utilization.watchers import Watchers
from tests.support.sidechannel import Manager
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class FakeFeed:
    """A feed without disks; `wanted` lists the calls of `want`."""

    def __init__(self) -> None:
        self.wanted: list[bool] = []

    def start(self, on_report: Callable[[Mapping[str, str]], None]) -> None:
        """Reports come from `publish`."""

    def stop(self) -> None:
        """Nothing to stop."""

    def want(self, wanted: bool) -> None:
        self.wanted.append(wanted)


class Rig:
    """A docroot, a pool and a listener for one service's sidechannel."""

    def __init__(self, path: Path, *, devices: int = 1, threads: int = 4, slots: int = 10) -> None:
        self.path = path
        for number in range(1, devices + 1):
            (path / f"dev{number}").mkdir()
        self.feed = FakeFeed()
        self.threads_asked: list[int] = []
        self.stop_asked = threading.Event()
        self._poller = open_poller()
        self.pool: WorkerPool[Connection, Buffers] = WorkerPool(
            self._poller, threads, workspace=Buffers
        )
        self._docroot = Docroot(str(path))
        known = Devices(self._docroot, self.pool.resume, Shares(slots, 0, slots))
        self.inventory = DeviceInventory(self._docroot, known)
        self.watchers = Watchers(self.pool, self.feed)
        self.watchers.start()
        self.service = Service(
            docroot=self._docroot,
            devices=known,
            recent_files=RecentFiles(0),
            clients=Clients(self.pool),
            lingering=LingeringClose(self.pool, 1.0),
            inventory=self.inventory,
            watchers=self.watchers,
            fsck_queue=FsckQueue(self.pool.resume),
            hashing=HashingThreads(0),
            set_aio_threads=self.threads_asked.append,
            request_stop=self.stop_asked.set,
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.clients: list[Manager] = []
        self.sessions: list[SidechannelSession] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._docroot.close)
            stack.callback(self._poller.close)
            stack.callback(self._stop_pool)
            stack.callback(self.watchers.stop)
            for client in self.clients:
                stack.callback(client.close)
            self._listener.close()

    def write(self, target: str, content: bytes) -> Path:
        """Put a file into the docroot."""
        path = self.path / target.lstrip("/")
        path.write_bytes(content)
        return path

    def connect(self, *, buffers: int = 0) -> Manager:
        """Return a client whose session the pool has, perhaps with small buffers."""
        client = Manager(self._listener.getsockname())
        self.clients.append(client)
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        for end in (sock, client.sock) if buffers else ():
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        session = SidechannelSession(sock, self.service)
        self.sessions.append(session)
        self.service.clients.note_opened()
        self.pool.add(session)
        return client

    def watch(self, *, buffers: int = 0) -> Manager:
        """Return a client that is a watcher."""
        before = self.watchers.count()
        client = self.connect(buffers=buffers)
        client.send(b"watch\n")
        self.wait_for_watchers(before + 1)
        return client

    def wait_for_watchers(self, count: int) -> None:
        """Wait until the next report is for so many."""
        wait_until(lambda: self.watchers.count() == count, f"there are {count} watchers")

    def publish(self, text: str = "1.00") -> None:
        """Report the same utilization for all disks, and wait until all watchers have it."""
        wait_until(self._is_at_rest, "no watcher is in a step")
        self.watchers.publish(dict.fromkeys(self._disks(), text))
        wait_until(self._is_served, "every watcher was given its block")

    def _is_at_rest(self) -> bool:
        open_sessions = {session for session in self.sessions if session.fileno() >= 0}
        return open_sessions <= set(self.pool.waiting_tasks())

    def _is_served(self) -> bool:
        return not any(self.watchers._is_behind(session) for session in self.sessions)

    def waiting_for_their_turn(self) -> list[object]:
        """Return the sessions that wait in the queue of a file system."""
        queues = list(self.service.fsck_queue._waiting.values())
        return [session for queue in queues for session in queue]

    def drain(self) -> threading.Thread:
        """Begin a graceful stop; the thread ends when the last client has gone."""
        self.service.draining = True
        self.service.fsck_queue.open()
        thread = threading.Thread(target=self._wait_for_all, daemon=True)
        thread.start()
        return thread

    def _wait_for_all(self) -> None:
        self.watchers.stop()
        self.service.clients.drain()

    def _disks(self) -> set[str]:
        return {
            name for devid in self.inventory.devids() for name in self.inventory.disk_names(devid)
        }

    def _stop_pool(self) -> None:
        assert self.pool.stop(PATIENCE_S), "a worker does not end"
