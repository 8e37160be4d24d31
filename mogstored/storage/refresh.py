"""Look at all devices every few seconds, so that one that hangs delays no other.

A round is one look at the devices of one docroot: a job lists the docroot, and then there
is a job for each device. A job that runs for longer than a device may take is not waited
for: the round ends without it, and so do the next ones, until it comes back. Rounds are
begun by time, and by watchers who want to see what is there now; who comes while a round
is about to list the docroot shares it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple, Protocol

from mogpoll.stopping import signals_blocked
from mogstored.storage.book import DeviceBook, Relieve
from mogstored.storage.jobs import LOOK_INTERVAL_S, KeyedJobs

_log = logging.getLogger("mogstored")

# A device that takes longer than this hangs.
STUCK_S = 2.0
# A round that takes longer than this is given up, for want of threads that do not hang.
_ROUND_S = 30.0
_STOP_S = 1.0

# After each device its thread rests for so many times as long as the device took, unless
# somebody waits for the round. Hundreds of devices in a row would be felt by requests, which
# share the interpreter with it.
_REST = 2.0
_MAX_REST_S = 0.002


class Scanned(Protocol):
    """A service, as far as it concerns the refresher."""

    @property
    def book(self) -> DeviceBook | None:
        """None for a service that nobody asks about its devices: it is left alone."""


class _Key(NamedTuple):
    """What a job is about: a device, or the listing of a docroot."""

    book: DeviceBook
    devid: int | None

    def __str__(self) -> str:
        return repr(self.book) if self.devid is None else f"dev{self.devid} in {self.book!r}"


class _Round:
    """What is left to do of one round; guarded by the refresher's lock."""

    def __init__(self, book: DeviceBook) -> None:
        self.awaited = {_Key(book, None)}
        self.over = threading.Event()
        self.deadline = time.monotonic() + _ROUND_S


class Refresher:
    """Keeps the books of all services up to date.

    `on_pressure` makes room when descriptors have run out. Only one of several processes
    should write files.

    **Threads:** made, started and stopped by the main thread, after the last fork. `_lock`
    guards the rounds, `_warned`, `_awaited`, and the order of what the books are told.
    """

    def __init__(
        self,
        services: Iterable[Scanned],
        *,
        interval_s: float,
        writes_files: bool,
        on_pressure: Relieve | None = None,
    ) -> None:
        self._books = [service.book for service in services if service.book is not None]
        self._interval_s = interval_s
        self._writes_files = writes_files
        self._relieve = on_pressure
        self._jobs: KeyedJobs[_Key] = KeyedJobs("refresh-job", self._note_finished)
        self._lock = threading.Lock()
        # Rounds that have not listed their docroot yet, the one that does, and all others.
        self._next: dict[DeviceBook, _Round] = {}
        self._listing: dict[DeviceBook, _Round] = {}
        self._rounds: list[_Round] = []
        self._warned: set[_Key] = set()
        # How many wait for rounds to end: the start, and watchers.
        self._awaited = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresh", daemon=True)
        for book in self._books:
            book.refresh_with(partial(self._rescan, book))

    def start_first_round(self, timeout_s: float) -> None:
        """Look at everything once; return when done, without those that hang."""
        self._run_awaited(self._books, timeout_s)

    def start(self) -> None:
        """Go on looking, the interval after the end of each round."""
        if self._books:
            with signals_blocked():
                self._thread.start()

    def stop(self) -> None:
        """End all rounds, now; a device that hangs keeps its thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._jobs.stop(_STOP_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._run_rounds(self._books, _ROUND_S)

    def _rescan(self, book: DeviceBook, timeout_s: float) -> None:
        self._run_awaited([book], timeout_s)

    def _run_awaited(self, books: list[DeviceBook], timeout_s: float) -> None:
        """Run rounds that somebody waits for: without rests."""
        with self._lock:
            self._awaited += 1
        try:
            self._run_rounds(books, timeout_s)
        finally:
            with self._lock:
                self._awaited -= 1

    def _run_rounds(self, books: list[DeviceBook], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for current in [self._begin(book) for book in books]:
            while not current.over.wait(min(LOOK_INTERVAL_S, timeout_s)):
                if self._stopping.is_set() or time.monotonic() >= deadline:
                    break
                self._jobs.look()
                self._excuse_stuck()

    def _begin(self, book: DeviceBook) -> _Round:
        """Return a round that will list the docroot after this call."""
        with self._lock:
            if book in self._next:
                return self._next[book]
            begun = self._next[book] = _Round(book)
            self._list_next(book)
            return begun

    def _list_next(self, book: DeviceBook) -> None:
        """Start the listing of the next round, unless one runs; the caller holds `_lock`."""
        if book in self._next and book not in self._listing:
            self._listing[book] = self._next.pop(book)
            self._rounds.append(self._listing[book])
            self._jobs.submit(_Key(book, None), partial(self._list, book))

    def _list(self, book: DeviceBook) -> None:
        """List the docroot, and give each device a job. Runs as a job itself."""
        try:
            devids = book.scan(self._relieve)
        except OSError as error:
            _log.error("cannot list %r: %s", book, error.strerror)
            devids = []
        with self._lock:
            self._listing[book].awaited |= {_Key(book, devid) for devid in devids}
        for devid in devids:
            self._jobs.submit(_Key(book, devid), partial(self._refresh, book, devid))

    def _refresh(self, book: DeviceBook, devid: int) -> None:
        began = time.monotonic()
        book.refresh(devid, write=self._writes_files, relieve=self._relieve)
        took_s = time.monotonic() - began
        if not self._awaited:
            self._stopping.wait(min(_REST * took_s, _MAX_REST_S))

    def _note_finished(self, key: _Key) -> None:
        with self._lock:
            if key.devid is None:
                del self._listing[key.book]
            self._strike_off(key)
            answers_again = key in self._warned
            if answers_again:
                self._warned.discard(key)
                self._note_stuck(key, False)
            if key.devid is None:
                self._list_next(key.book)
        if answers_again:
            _log.info("%s answers again", key)

    def _excuse_stuck(self) -> None:
        """Let rounds end without the jobs that hang, and say once which do."""
        with self._lock:
            # Under the lock: a job that ends now is noted after it was found to hang.
            stuck = {key for key, age_s in self._jobs.running().items() if age_s > STUCK_S}
            for key in stuck:
                self._strike_off(key)
            self._give_up_old()
            news = stuck - self._warned
            self._warned |= stuck
            for key in news:
                self._note_stuck(key, True)
        for key in news:
            _log.warning("%s has not answered for %g s, and is left out", key, STUCK_S)

    @staticmethod
    def _note_stuck(key: _Key, stuck: bool) -> None:
        """Tell the book of a device; the caller holds `_lock`, lest two news change places."""
        if key.devid is not None:
            key.book.note_stuck(key.devid, stuck)

    def _strike_off(self, key: _Key) -> None:
        """Await `key` no longer in any round; the caller holds `_lock`."""
        for current in self._rounds:
            current.awaited.discard(key)
            if not current.awaited:
                current.over.set()
        self._rounds = [current for current in self._rounds if current.awaited]

    def _give_up_old(self) -> None:
        """End the rounds that have lasted too long; the caller holds `_lock`."""
        now = time.monotonic()
        for current in self._rounds:
            if current.deadline <= now:
                current.over.set()
        self._rounds = [current for current in self._rounds if current.deadline > now]
