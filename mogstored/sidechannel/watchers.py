"""Clients that watch the utilization of the disks: who they are, and what they are sent.

Each report of the feed becomes one block of text per service, kept until the next one. The
watchers are stepped, and each fetches the block as the owner of its socket. One that is
slow, or in a step at this very moment, fetches a later one instead: nobody ever holds more
than one block, and nobody is waited for.

A thread of its own looks for new devices before a watcher joins: that may wait for a disk,
for all newcomers at once, and no worker should.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

from mogpoll import Next, WorkerPool
from mogstored.connection import Connection, Workspace
from mogstored.storage.report import Report, UtilizationFeed, format_block

if TYPE_CHECKING:
    from mogstored.service import Service
    from mogstored.sidechannel.session import SidechannelSession

# Between two searches for devices, so that clients cannot keep the disks busy with them.
_SEARCH_INTERVAL_S = 0.1
_STOP_INTERVAL_S = 0.1


class Stream:
    """A watcher's share of its session: sends blocks, and ignores what the client sends."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._has_joined = False

    def advance(self, session: SidechannelSession, workspace: Workspace) -> Next:
        if not session.flush():
            return Next.WRITE
        if not session.ignore_input(workspace):
            return Next.CLOSE
        if not self._has_joined:
            self._has_joined = True
            return Next.READ if self._watchers.join(session) else Next.CLOSE
        block = self._watchers.next_block(session)
        if block is None or session.send(block):
            return Next.READ
        # Too slow: it stands aside until it has taken the rest.
        self._has_joined = False
        self._watchers.stand_aside(session)
        return Next.WRITE

    def abandon(self, session: SidechannelSession) -> None:
        """Leave the watchers."""
        self._watchers.leave(session)


class Watchers:
    """All watchers of the process, whatever their service.

    **Threads:** any. `_lock` guards what is below it; `publish` is for one thread at a time.
    """

    def __init__(self, pool: WorkerPool[Connection, Workspace], feed: UtilizationFeed) -> None:
        self._pool = pool
        self._feed = feed
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # Those who wait for the search for devices; the others, with the number of the last
        # report they were given; and those who have to take the rest of a block first.
        self._newcomers: set[Connection] = set()
        self._seen: dict[Connection, int] = {}
        self._aside: set[Connection] = set()
        self._report_number = 0
        # By identity of the service.
        self._blocks: dict[int, bytes] = {}
        # What the feed was told last; the thread's alone.
        self._is_wanted = False
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    def join(self, session: Connection) -> bool:
        """Let `session` have the reports from the next one on; False when the node stops."""
        with self._changed:
            if self._is_stopped:
                return False
            self._aside.discard(session)
            self._newcomers.add(session)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchers", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return True

    def stand_aside(self, session: Connection) -> None:
        """Let it have no reports until it joins again."""
        with self._changed:
            self._seen.pop(session, None)
            self._aside.add(session)

    def leave(self, session: Connection) -> None:
        """Let it go; harmless for one who never joined."""
        with self._changed:
            self._newcomers.discard(session)
            self._aside.discard(session)
            self._seen.pop(session, None)
            self._changed.notify_all()

    def next_block(self, session: Connection) -> bytes | None:
        """Return the latest block, unless `session` had it or is not entitled to it yet."""
        with self._lock:
            if self._seen.get(session, self._report_number) == self._report_number:
                return None
            self._seen[session] = self._report_number
            return self._blocks.get(id(session.service))

    def count(self) -> int:
        """Return how many will have the next report."""
        with self._lock:
            return len(self._seen)

    def publish(self, report: Report) -> None:
        """Send a report to every watcher; the feed calls this when one is complete."""
        with self._lock:
            services = {id(session.service): session.service for session in self._seen}
        if not services:
            return
        blocks = {key: _block(service, report) for key, service in services.items()}
        with self._lock:
            self._report_number += 1
            self._blocks = blocks
        self._pool.kick(self._is_behind)

    def stop(self, deadline: float | None = None) -> None:
        """Close all watchers, and let nobody join any more; returns when they have gone.

        At the `deadline`, a time of the monotonic clock, it returns in any case.

        They are hung up on: one whose socket is full would not be stepped otherwise. The
        thread ends by itself, when no disk keeps it waiting.
        """
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        while watchers := self._everybody():
            if deadline is not None and monotonic() >= deadline:
                return
            self._pool.kick(watchers.__contains__, Connection.hang_up)
            # One that was in a step just now is met the next time.
            with self._changed:
                self._changed.wait_for(self._has_nobody, _STOP_INTERVAL_S)

    def _everybody(self) -> set[Connection]:
        with self._lock:
            return {*self._newcomers, *self._seen, *self._aside}

    def _has_nobody(self) -> bool:
        return not (self._newcomers or self._seen or self._aside)

    def _is_behind(self, task: Connection) -> bool:
        # A single dict operation; and `publish` alone changes the number.
        return self._seen.get(task, self._report_number) != self._report_number

    def _run(self) -> None:
        """Be the thread: tell the feed whether it is wanted, and let newcomers in."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._is_stopped:
                    return
                newcomers = set(self._newcomers)
                wanted = not self._has_nobody()
            if wanted != self._is_wanted:
                self._is_wanted = wanted
                self._feed.want(wanted)
            if newcomers:
                self._search(newcomers)
                self._admit(newcomers)

    def _has_work(self) -> bool:
        is_wanted = not self._has_nobody()
        return self._is_stopped or bool(self._newcomers) or is_wanted != self._is_wanted

    def _search(self, newcomers: set[Connection]) -> None:
        """Find the devices of each service for which somebody came."""
        services = {id(session.service): session.service for session in newcomers}
        for service in services.values():
            if service.book is not None:
                service.book.rescan()

    def _admit(self, newcomers: set[Connection]) -> None:
        with self._changed:
            for session in newcomers & self._newcomers:
                self._newcomers.remove(session)
                self._seen[session] = self._report_number
            self._changed.wait_for(lambda: self._is_stopped, _SEARCH_INTERVAL_S)


def _block(service: Service, report: Report) -> bytes:
    book = service.book
    if book is None:
        return format_block((), lambda _: (), report)
    return format_block(book.devids(), book.disk_names, report)
