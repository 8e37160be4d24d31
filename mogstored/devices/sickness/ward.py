"""Once a second: what errors or the operator have made of devices, and checks that are due.

The record in the docroot's state is the truth. A process that has counted too many errors of a
device stops using it at once, and puts that on record; all processes of the node follow the
record. One of them logs the changes and makes the checks. The docroot's disk or a device may
hang, so each has a job of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from mogpoll.threads import start_thread
from mogstored.check_disks.exercise import Result, exercise
from mogstored.devices.device import Device, Devices
from mogstored.devices.health import is_hung
from mogstored.devices.sickness.record import StandingRecord
from mogstored.devices.sickness.standing import (
    WELL,
    Entry,
    Standing,
    after_check,
    ask_for_check,
    fall_ill,
)
from mogstored.files.docroot import Docroot
from mogstored.files.state_dir import Stamp, StateDir
from mogstored.keyed_jobs import KeyedJobs

_log = logging.getLogger("mogstored")

_INTERVAL_S = 1.0
_STOP_S = 1.0
# Enough to be written to more than one place of the disk, and over in a moment.
_CHECK_SIZE = 1024 * 1024
# A disk that takes longer for that is not used.
_CHECK_TAKES_S = 30.0

Exercise = Callable[[str, int], Result]


class Ward:
    """Follows the standings of the devices of all docroots.

    With `leads`, it logs and checks.

    **Threads:** made, started and stopped by the main one; any may `look`. The rest is for the
    jobs: one of a docroot, or of a device, at a time. `_looking` guards `_logged`.
    """

    def __init__(
        self,
        docroots: Sequence[tuple[Docroot, Devices]],
        *,
        leads: bool,
        exercise: Exercise = exercise,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rooms = [_Room(StandingRecord(StateDir(docroot)), it) for docroot, it in docroots]
        self._leads = leads
        self._exercise = exercise
        self._clock = clock
        self._jobs: KeyedJobs[_Room | Device] = KeyedJobs("ward-job", lambda _: None, is_hung)
        self._looking = threading.Lock()
        # Checks that hang, as the log has it.
        self._logged: set[Device] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Use all devices as the record says, then go on following it.

        **Raises:** `ThreadRefused`.
        """
        for room in self._rooms:
            self._follow(room)
        self._jobs.start()
        self._thread = start_thread(self._run, "ward", lasting=True)

    def stop(self) -> None:
        """End; a disk that hangs keeps its thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._jobs.stop(_STOP_S)

    def look(self) -> None:
        """Do what is done once a second, in jobs."""
        for room in self._rooms:
            self._jobs.submit(room, partial(self._follow, room))
        self._jobs.look()
        with self._looking:
            hung = {each for each in self._jobs.hung() if isinstance(each, Device)}
            news, self._logged = hung - self._logged, hung
        for device in news:
            _log.warning("%s: the check hangs", device, extra=_fields(device))

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_S):
            self.look()

    def _follow(self, room: _Room) -> None:
        """Put on record what errors have done, use devices as recorded, and begin checks."""
        self._put_on_record(room)
        stamp = room.record.stamp()
        if stamp != room.stamp or room.is_in_memory:
            entries = room.record.read()
            if entries is not None or stamp is None:
                room.entries = entries or {}
            elif self._leads:
                # It was damaged.
                known = {name: partial(_restore, it) for name, it in room.entries.items()}
                room.is_in_memory = not room.record.change(known)
            room.stamp = stamp
        now = self._clock()
        for device in room.devices.known():
            entry = room.entries.get(device.label, WELL)
            if entry != device.entry and device.fell_ill is None:
                self._use(device, entry)
            if self._leads and device.entry.standing is not Standing.OK:
                self._begin_check_if_due(room, device, now)

    def _put_on_record(self, room: _Room) -> None:
        now = self._clock()
        ill = {each: found for each in room.devices.known() if (found := each.fell_ill)}
        if not ill:
            return
        room.is_in_memory = not room.record.change(
            {
                device.label: partial(_fall_ill, standing=standing, cause=cause, now=now)
                for device, (standing, cause) in ill.items()
            }
        )
        # Also where the file looks as before.
        room.stamp = None
        for device in ill:
            device.fell_ill = None

    def _use(self, device: Device, entry: Entry) -> None:
        before = device.entry
        device.enter_in(entry)
        if entry.standing is Standing.DOWN:
            # They may wait for ever.
            device.cancel(set(device.parked()))
        if self._leads:
            _log_change(device, before, entry, self._clock())

    def _begin_check_if_due(self, room: _Room, device: Device, now: float) -> None:
        is_read_only = device.health.is_mounted_read_only
        is_writable_again = device in room.read_only and not is_read_only
        (room.read_only.add if is_read_only else room.read_only.discard)(device)
        entry = device.entry
        if entry.is_due(now) or (is_writable_again and not entry.is_by_operator):
            self._jobs.submit(device, partial(self._check, room, device))

    def _check(self, room: _Room, device: Device) -> None:
        """Try to use the device, and put on record how that went. Runs as a job; may hang."""
        entry, began = device.entry, monotonic()
        result = self._exercise(device.path, _CHECK_SIZE)
        took_s = monotonic() - began
        failure = f"{result.failed}: {result.reason}" if result.failed else ""
        if not failure and took_s > _CHECK_TAKES_S:
            failure = f"it took {took_s:.0f} s"
        end = partial(_end_check, entry, failure=failure, now=self._clock())
        room.is_in_memory = not room.record.change({device.label: end})
        room.stamp = None


class _Room:
    """One docroot: its record as it was read last, and its devices.

    **Threads:** for the jobs of the docroot; `stamp` and `is_in_memory` are set by checks, too.
    """

    def __init__(self, record: StandingRecord, devices: Devices) -> None:
        self.record = record
        self.devices = devices
        self.entries: dict[str, Entry] = {}
        self.stamp: Stamp | None = None
        self.is_in_memory = False
        self.read_only: set[Device] = set()


def _fall_ill(before: Entry, *, standing: Standing, cause: str, now: float) -> Entry:
    return fall_ill(before, standing, cause, now)


def _restore(known: Entry, before: Entry) -> Entry:
    return known if before == WELL else before


def _end_check(checked: Entry, before: Entry, *, failure: str, now: float) -> Entry:
    """Return the entry after a check, unless another decision was made meanwhile."""
    is_same = (before.standing, before.since) == (checked.standing, checked.since)
    return after_check(before, failure, now) if is_same else before


def _log_change(device: Device, before: Entry, entry: Entry, now: float) -> None:
    """Log a change of standing, or a check that failed."""
    fields = _fields(device)
    if (entry.standing, entry.since) == (before.standing, before.since):
        if entry.last_check and entry != ask_for_check(before):
            _log.warning(
                "%s: the check failed at %s; %s",
                *(device, entry.last_check, _what_follows(entry, now)),
                extra=fields,
            )
    elif entry.standing is Standing.DOWN:
        _log.error(
            "%s is down: %s; its requests are answered with 500; %s",
            *(device, entry.cause, _what_follows(entry, now)),
            extra=fields,
        )
    elif entry.standing is Standing.NO_WRITES:
        _log.warning(
            "%s gets no new files: %s; PUT is answered with 507; %s",
            *(device, entry.cause, _what_follows(entry, now)),
            extra=fields,
        )
    elif before.standing is not Standing.OK:
        _log.info(
            "%s is used again: %s",
            *(device, entry.cause or "its record has gone"),
            extra=fields,
        )


def _what_follows(entry: Entry, now: float) -> str:
    if entry.check_at is None:
        return "the operator decides what follows"
    return f"the next check is in {max(0.0, entry.check_at - now):.0f} s"


def _fields(device: Device) -> dict[str, str]:
    return {
        "device": device.label,
        "path": device.path,
        "state": device.entry.standing.value,
    }
