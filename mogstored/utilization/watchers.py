"""Clients that watch the utilization of the disks: which there are, and what each is sent.

Each report of the feed becomes one block of text per docroot, kept until the next report. The
watchers are stepped, and each fetches the block as the owner of its socket. A watcher that is
slow, or in a step just then, fetches a later block: it never holds more than one, and no
other waits for it.

A thread of its own looks for new devices before watchers join: the look may wait for a disk,
and no worker should. One look serves all newcomers.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

from mogpoll import WorkerPool
from mogpoll.threads import start_thread
from mogstored.utilization.iostat_parser import UNKNOWN
from mogstored.utilization.report import Report, UtilizationFeed, format_block

# Between two looks for devices, so that clients cannot keep the disks busy with them.
_SEARCH_INTERVAL_S = 0.1
_STOP_INTERVAL_S = 0.1
# Reports come once a second.
_REPORT_IS_OLD_S = 5.0


class Watcher(Protocol):
    """A task of the pool whose client watches."""

    def hang_up(self) -> None:
        """Shut the socket down; the next step closes it. Called as owner."""


class Devices(Protocol):
    """The devices of a docroot, as far as watchers need them; compared by identity."""

    def devids(self) -> Sequence[int]:
        """Return the numbers of all devices, ascending."""

    def disk_names(self, devid: int, /) -> Sequence[str]:
        """Return the names under which reports may list the device's disk, the best first."""

    def rescan(self) -> None:
        """Look for new devices. May wait for a disk, with a time limit."""


class Watchers:
    """All watchers of the process, whatever their docroot.

    **Threads:** any. `_lock` guards what is below it; `publish` is for one thread at a time.
    """

    def __init__(self, pool: WorkerPool[Any, Any], feed: UtilizationFeed) -> None:
        self._pool = pool
        self._feed = feed
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # All of them. A newcomer waits for the look for devices, a member has the number of
        # the last report it was given, and the others are suspended.
        self._watched: dict[Watcher, Devices] = {}
        self._newcomers: set[Watcher] = set()
        self._seen: dict[Watcher, int] = {}
        self._report_number = 0
        self._blocks: dict[Devices, bytes] = {}
        # The last report, and when it came; replaced as a whole.
        self._last: tuple[float, Report] = 0.0, {}
        # Whether reports are wanted even without a watcher.
        self._is_observed = False
        # As the feed knows it; the thread's alone.
        self._is_wanted = False
        self._is_stopped = False

    def start(self) -> None:
        """Start the thread that admits newcomers.

        **Raises:** `ThreadRefused`.
        """
        start_thread(self._run, "watchers", lasting=True)

    def observe(self) -> None:
        """Have reports come from now on, for `utilization`, with or without watchers."""
        with self._changed:
            self._is_observed = True
            self._changed.notify_all()

    def utilization(self, disks: Sequence[str]) -> float | None:
        """Return how busy the first of these disks is that the last report has, from 0 to 1.

        None where that is unknown, and without reports.
        """
        came_at, report = self._last
        if monotonic() - came_at > _REPORT_IS_OLD_S:
            return None
        percent = next((report[name] for name in disks if name in report), UNKNOWN)
        return None if percent == UNKNOWN else min(1.0, float(percent) / 100)

    def join(self, watcher: Watcher, devices: Devices) -> bool:
        """Let `watcher` have the reports from the next one on; False when the node stops."""
        with self._changed:
            if self._is_stopped:
                return False
            self._watched[watcher] = devices
            self._newcomers.add(watcher)
            self._changed.notify_all()
            return True

    def suspend(self, watcher: Watcher) -> None:
        """Let it have no reports until it joins again."""
        with self._changed:
            self._seen.pop(watcher, None)

    def leave(self, watcher: Watcher) -> None:
        """Remove it; harmless if it never joined."""
        with self._changed:
            self._watched.pop(watcher, None)
            self._newcomers.discard(watcher)
            self._seen.pop(watcher, None)
            self._changed.notify_all()

    def next_block(self, watcher: Watcher) -> bytes | None:
        """Return the latest block; None if the watcher had it, or joined after it."""
        with self._lock:
            if self._seen.get(watcher, self._report_number) == self._report_number:
                return None
            self._seen[watcher] = self._report_number
            return self._blocks.get(self._watched[watcher])

    def count(self) -> int:
        """Return how many will have the next report."""
        with self._lock:
            return len(self._seen)

    def publish(self, report: Report) -> None:
        """Send a complete report to every watcher; called by the feed."""
        self._last = monotonic(), report
        with self._lock:
            watched = {self._watched[watcher] for watcher in self._seen}
        if not watched:
            return
        blocks = {
            devices: format_block(devices.devids(), devices.disk_names, report)
            for devices in watched
        }
        with self._lock:
            self._report_number += 1
            self._blocks = blocks
        self._pool.step_now(self._is_behind)

    def stop(self, deadline: float | None = None) -> None:
        """Close all watchers and refuse new ones; return when they have gone.

        At the `deadline`, a time of the monotonic clock, it returns in any case.

        Their sockets are shut down: a full one would not be stepped otherwise. The thread ends
        by itself, once no disk keeps it waiting.
        """
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        while watchers := self._all():
            if deadline is not None and monotonic() >= deadline:
                return
            self._pool.step_now(watchers.__contains__, lambda watcher: watcher.hang_up())
            # One that is in a step just now is met the next time.
            with self._changed:
                self._changed.wait_for(lambda: not self._watched, _STOP_INTERVAL_S)

    def _all(self) -> set[Watcher]:
        with self._lock:
            return set(self._watched)

    def _is_behind(self, watcher: Watcher) -> bool:
        # A single dict operation; and `publish` alone changes the number.
        return self._seen.get(watcher, self._report_number) != self._report_number

    def _run(self) -> None:
        """Be the thread: say to the feed whether it is wanted, and admit newcomers."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._is_stopped:
                    return
                newcomers = set(self._newcomers)
                watched = {self._watched[watcher] for watcher in newcomers}
                wanted = self._wants_reports()
            if wanted != self._is_wanted:
                self._feed.want(wanted)
                self._is_wanted = wanted
            for devices in watched:
                devices.rescan()
            if newcomers:
                self._admit(newcomers)

    def _has_work(self) -> bool:
        return (
            self._is_stopped or bool(self._newcomers) or self._wants_reports() != self._is_wanted
        )

    def _wants_reports(self) -> bool:
        return bool(self._watched) or self._is_observed

    def _admit(self, newcomers: set[Watcher]) -> None:
        with self._changed:
            for watcher in newcomers & self._newcomers:
                self._newcomers.remove(watcher)
                self._seen[watcher] = self._report_number
            self._changed.wait_for(lambda: self._is_stopped, _SEARCH_INTERVAL_S)
