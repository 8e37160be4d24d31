"""Look at all devices every few seconds, so that one that hangs delays no other.

A round is one look at the devices of one docroot: a job lists the docroot, and then each device
has a job of its own. A job that hangs is not waited for: the round ends without it, and so do
the next ones, until it comes back. Rounds are begun by time, and by watchers, which want to see
what is there now. All that come while a round is about to list the docroot share it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

from mogpoll.threads import start_thread
from mogstored.devices.device import Device
from mogstored.devices.health import HANGING_S, is_hung
from mogstored.devices.inventory import DeviceInventory, Relieve
from mogstored.keyed_jobs import LOOK_INTERVAL_S, KeyedJobs
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

# A round that takes longer is given up, for want of threads that do not hang.
_ROUND_S = 30.0
_STOP_S = 1.0

# After each device its thread rests for so many times as long as the device took, unless the
# round is waited for. Hundreds of devices in a row would be felt by requests, which share the
# interpreter with it.
_REST = 2.0
_MAX_REST_S = 0.002

# What a job is about: one device, or the listing of a docroot.
Subject = Device | DeviceInventory


class _Round:
    """What is left to do of one round; guarded by the refresher's lock."""

    def __init__(self, inventory: DeviceInventory) -> None:
        self.awaited: set[Subject] = {inventory}
        self.over = threading.Event()
        self.deadline = time.monotonic() + _ROUND_S


class Refresher:
    """Keeps inventories up to date.

    `on_pressure` makes room when descriptors have run out. Only one of several processes
    should write files.

    **Threads:** made, started and stopped by the main thread, after the last fork. `_lock`
    guards `_next`, `_listing`, `_rounds`, `_logged` and `_awaited`.
    """

    def __init__(
        self,
        inventories: Sequence[DeviceInventory],
        *,
        interval_s: float,
        writes_files: bool,
        on_pressure: Relieve | None = None,
    ) -> None:
        self._inventories = inventories
        self._interval_s = interval_s
        self._writes_files = writes_files
        self._relieve = on_pressure
        self._jobs: KeyedJobs[Subject] = KeyedJobs("refresh-job", self._note_finished, is_hung)
        self._lock = threading.Lock()
        # Rounds that have not listed their docroot yet, the one that does, and all others.
        self._next: dict[DeviceInventory, _Round] = {}
        self._listing: dict[DeviceInventory, _Round] = {}
        self._rounds: list[_Round] = []
        # Docroots whose listing hangs, as the log has it.
        self._logged: set[Subject] = set()
        # How many callers wait for rounds to end: the start, and watchers.
        self._awaited = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        for inventory in inventories:
            inventory.refresh_with(partial(self._rescan, inventory))

    def start_first_round(self, timeout_s: float) -> None:
        """Look at everything once; return when done, without the devices that hang."""
        self._run_awaited(self._inventories, timeout_s)

    def start(self) -> None:
        """Go on looking, the interval after the end of each round.

        **Raises:** `ThreadRefused`.
        """
        if self._inventories:
            self._jobs.start()
            self._thread = start_thread(self._run, "refresh", lasting=True)

    def stop(self) -> None:
        """End all rounds, now; a device that hangs keeps its thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._jobs.stop(_STOP_S)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._run_rounds(self._inventories, _ROUND_S)

    def _rescan(self, inventory: DeviceInventory, timeout_s: float) -> None:
        self._run_awaited([inventory], timeout_s)

    def _run_awaited(self, inventories: Sequence[DeviceInventory], timeout_s: float) -> None:
        """Run rounds that the caller waits for: without rests."""
        with self._lock:
            self._awaited += 1
        try:
            self._run_rounds(inventories, timeout_s)
        finally:
            with self._lock:
                self._awaited -= 1

    def _run_rounds(self, inventories: Sequence[DeviceInventory], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for current in [self._begin(inventory) for inventory in inventories]:
            while not current.over.wait(min(LOOK_INTERVAL_S, timeout_s)):
                if self._stopping.is_set() or time.monotonic() >= deadline:
                    break
                self._jobs.look()
                self._skip_hung()

    def _begin(self, inventory: DeviceInventory) -> _Round:
        """Return a round that will list the docroot after this call."""
        with self._lock:
            if inventory in self._next:
                return self._next[inventory]
            begun = self._next[inventory] = _Round(inventory)
            self._list_next(inventory)
            return begun

    def _list_next(self, inventory: DeviceInventory) -> None:
        """Start the listing of the next round, unless one runs; the caller holds `_lock`."""
        if inventory in self._next and inventory not in self._listing:
            self._listing[inventory] = self._next.pop(inventory)
            self._rounds.append(self._listing[inventory])
            self._jobs.submit(inventory, partial(self._list, inventory))

    def _list(self, inventory: DeviceInventory) -> None:
        """List the docroot, and give each device a job. Runs as a job itself."""
        try:
            devices = inventory.scan(self._relieve)
        except OSError as error:
            _log.error("cannot list %s: %s", inventory, reason(error))
            devices = inventory.present()
        with self._lock:
            self._listing[inventory].awaited.update(devices)
        for device in devices:
            self._jobs.submit(device, partial(self._refresh, inventory, device))

    def _refresh(self, inventory: DeviceInventory, device: Device) -> None:
        began = time.monotonic()
        inventory.refresh(device, write=self._writes_files, relieve=self._relieve)
        took_s = time.monotonic() - began
        if not self._awaited:
            self._stopping.wait(min(_REST * took_s, _MAX_REST_S))

    def _note_finished(self, subject: Subject) -> None:
        with self._lock:
            if isinstance(subject, DeviceInventory):
                del self._listing[subject]
            self._complete(subject)
            answers_again = subject in self._logged
            self._logged.discard(subject)
            if isinstance(subject, DeviceInventory):
                self._list_next(subject)
        if answers_again:
            _log.info("%s answers again", subject)

    def _skip_hung(self) -> None:
        """Let rounds end without the jobs that hang, and log each once."""
        with self._lock:
            # Under the lock: a job that ends now is noted after it was found to hang.
            hung = self._jobs.hung()
            for subject in hung:
                self._complete(subject)
            self._give_up_old()
            news = {each for each in hung if isinstance(each, DeviceInventory)} - self._logged
            self._logged |= news
        for subject in hung:
            if isinstance(subject, Device):
                subject.health.log_change()
        for docroot in news:
            _log.warning("%s has not answered for %g s, and is left out", docroot, HANGING_S)

    def _complete(self, subject: Subject) -> None:
        """Await `subject` no longer in any round; the caller holds `_lock`."""
        for current in self._rounds:
            current.awaited.discard(subject)
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
