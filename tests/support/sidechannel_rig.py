"""The sidechannel inside of the test's own process, with a feed that the test works by hand."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from mogpoll import WorkerPool, open_poller
from mogstored.connection import Connection, Workspace
from mogstored.http.body_md5 import HashingThreads
from mogstored.limits import Clients, Lingerers
from mogstored.service import Service
from mogstored.sidechannel.session import SidechannelSession
from mogstored.sidechannel.watchers import Watchers
from mogstored.storage.book import DeviceBook
from mogstored.storage.device import Devices
from mogstored.storage.digests import FsckLines
from mogstored.storage.docroot import Docroot
from mogstored.storage.open_files import OpenFiles
from mogstored.storage.shares import Shares
from tests.support.sidechannel import Manager
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType


class HandFeed:
    """A feed without disks: remembers what it was told, and reports what the test says."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def start(self, on_report: Callable[[Mapping[str, str]], None]) -> None:
        """The test publishes."""

    def stop(self) -> None:
        """Nothing runs."""

    def want(self, wanted: bool) -> None:
        self.told.append(wanted)


class Rig:
    """A docroot, a pool and a listener for one service's sidechannel."""

    def __init__(self, path: Path, *, devices: int = 1, threads: int = 4, slots: int = 10) -> None:
        self.path = path
        for number in range(1, devices + 1):
            (path / f"dev{number}").mkdir()
        self.feed = HandFeed()
        self.threads_asked: list[int] = []
        self.stop_asked = threading.Event()
        self._poller = open_poller()
        self.pool: WorkerPool[Connection, Workspace] = WorkerPool(
            self._poller, threads, workspace=Workspace
        )
        self._docroot = Docroot(str(path))
        self.book = DeviceBook(self._docroot)
        self.watchers = Watchers(self.pool, self.feed)
        self.service = Service(
            docroot=self._docroot,
            devices=Devices(self._docroot.fileno(), self.pool.resume, Shares(slots, 0, slots)),
            open_files=OpenFiles(0),
            clients=Clients(self.pool),
            lingerers=Lingerers(self.pool, 1.0),
            book=self.book,
            watchers=self.watchers,
            fsck_lines=FsckLines(self.pool.resume),
            hashing=HashingThreads(0),
            set_aio_threads=self.threads_asked.append,
            request_stop=self.stop_asked.set,
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.clients: list[Manager] = []
        self.sessions: list[SidechannelSession] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        """Return a client whose session the pool has; with small buffers if so wished."""
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
        """Report the same utilization for every disk, and wait until all have their block."""
        wait_until(self._is_at_rest, "no watcher is in a step")
        self.watchers.publish(dict.fromkeys(self._disks(), text))
        wait_until(self._is_told, "every watcher was given its block")

    def _is_at_rest(self) -> bool:
        open_sessions = {session for session in self.sessions if session.fileno() >= 0}
        return open_sessions <= set(self.pool.waiting_tasks())

    def _is_told(self) -> bool:
        return not any(self.watchers._is_behind(session) for session in self.sessions)

    def waiting_for_their_turn(self) -> list[object]:
        """Return the sessions that wait in a line of those who check files."""
        lines = list(self.service.fsck_lines._lines.values())
        return [session for line in lines for session in line]

    def drain(self) -> threading.Thread:
        """Begin a graceful stop; the thread ends when the last client has gone."""
        self.service.draining = True
        self.service.fsck_lines.open()
        thread = threading.Thread(target=self._wait_for_all, daemon=True)
        thread.start()
        return thread

    def _wait_for_all(self) -> None:
        self.watchers.stop()
        self.service.clients.drain()

    def _disks(self) -> set[str]:
        return {name for devid in self.book.devids() for name in self.book.disk_names(devid)}

    def _stop_pool(self) -> None:
        assert self.pool.stop(10.0), "a worker does not end"
