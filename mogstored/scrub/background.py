"""Scrub the devices of a node in the background, each file once in a period.

One process of a node does it, with one reader for each disk. A reader goes at a limited rate, and
rests while requests use its device. It also rests in proportion to the processor time that it
takes: all readers together get a tenth of a processor. Where processors are short, what it waits
for one counts as well, since requests wait there, too. A disk that hangs keeps its own reader
only. What cannot be read counts as an error of the disk, as it does for requests. What is known of
a device is written from time to time, and read again after a restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, thread_time

from mogpoll.system.threadstate import waited_s
from mogpoll.threads import start_thread, try_start_thread
from mogstored.devices.device import Device
from mogstored.devices.health import DeviceState
from mogstored.devices.inventory import DeviceInventory
from mogstored.files.disk_errors import Attempt
from mogstored.files.state_dir import StateDir
from mogstored.log.printable import reason
from mogstored.log.rate_limit import BurstLimiter, more
from mogstored.scrub.device_scrub import DeviceScrub, Rest
from mogstored.scrub.pace import MIB, Pace
from mogstored.scrub.progress import Progress
from mogstored.scrub.verdict import Finding, Kind, Tally
from mogstored.scrub.walk import Unmounted

_log = logging.getLogger("mogstored")

_PIECE = 256 * 1024
# For each second of processor time, or of waiting for a processor.
_REST = 9.0
# Shorter rests are put together.
_MIN_REST_S = 0.005
# Requests are waited for so long; a device that is never idle is read all the same, slowly.
_MAX_YIELD_S = 0.5
_YIELD_S = 0.005
_SAVE_S = 30.0
_LOOK_S = 1.0
# After a device could not be read on.
_RETRY_S = 60.0
_STOP_S = 2.0

_USABLE = (DeviceState.OK, DeviceState.READ_ONLY)


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a device; the tally is that of this process."""

    tally: Tally
    began_at: float
    ended_at: float
    findings: tuple[tuple[float, Finding], ...]


class BackgroundScrub:
    """Scrubs the devices of all docroots.

    **Threads:** made, started and stopped by the main one; `report` is for any. A thread for each
    device that is read.
    """

    def __init__(
        self,
        docroots: Sequence[tuple[DeviceInventory, StateDir]],
        period_s: float,
        mib_per_s: float,
    ) -> None:
        self._docroots = docroots
        self._period_s = period_s
        self._mib_per_s = mib_per_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._readers: dict[Device, _Reader] = {}
        self._active: dict[Hashable, threading.Thread] = {}
        self._lines = BurstLimiter(burst=20, interval_s=1.0)

    def start(self) -> None:
        """**Raises:** `ThreadRefused`."""
        if self._docroots:
            self._thread = start_thread(self._run, "scrub", lasting=True)

    def begin_stop(self) -> None:
        """Let all readers end before their next piece, and keep their positions."""
        self._stopping.set()

    def stop(self) -> None:
        """Return when they have ended; a disk that hangs keeps its thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        deadline = monotonic() + _STOP_S
        for thread in self._active.values():
            thread.join(max(0.0, deadline - monotonic()))

    def report(self, device: Device) -> Report | None:
        """Return what is known of a device; None if it was not looked at."""
        reader = self._readers.get(device)
        return None if reader is None else reader.report()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for inventory, state_dir in self._docroots:
                for device in inventory.present():
                    self._start_if_due(device, state_dir)
            self._stopping.wait(_LOOK_S)

    def _start_if_due(self, device: Device, state_dir: StateDir) -> None:
        reader = self._readers.get(device)
        if reader is None:
            reader = self._readers[device] = _Reader(device, state_dir, self._period_s)
        located = device.usage.located_at
        disk: Hashable = device if located is None else located[0]
        if reader.due_at > monotonic() or device.health.state() not in _USABLE:
            return
        thread = self._active.get(disk)
        if thread is not None and thread.is_alive():
            return
        thread = try_start_thread(partial(self._read, reader), "scrub")
        if thread is not None:
            self._active[disk] = thread

    def _read(self, reader: _Reader) -> None:
        reader.due_at = monotonic() + _RETRY_S
        if not reader.load():
            return
        pace = Pace(self._mib_per_s)
        try:
            reader.run(partial(self._rest, reader, pace), self._report)
        except Unmounted:
            _log.info("%s was unmounted, and is read on when it is there again", reader.device)
        except OSError as error:
            _count(reader.device, b"", error)
            _log.error("cannot read %s for its scrub: %s", reader.device, reason(error))
        reader.save()

    def _rest(self, reader: _Reader, pace: Pace, size: int) -> bool:
        """Rest as long as the rates want it, and while the device is used; False ends it."""
        took_s = _effort_s() - reader.effort_s
        readers = sum(thread.is_alive() for thread in [*self._active.values()])
        reader.owed_s += took_s * _REST * max(1, readers)
        rest_s = max(reader.owed_s, pace.delay_s(size))
        if rest_s >= _MIN_REST_S:
            reader.owed_s = 0.0
            self._stopping.wait(rest_s)
        until = monotonic() + _MAX_YIELD_S
        while _is_used(reader.device) and monotonic() < until:
            if self._stopping.wait(_YIELD_S):
                return False
        if reader.saved_at + _SAVE_S < monotonic():
            reader.save()
        reader.effort_s = _effort_s()
        return not (self._stopping.is_set() or reader.device.is_down)

    def _report(self, finding: Finding) -> None:
        if (others := self._lines.skipped()) is None:
            return
        path, found, extra = finding.path, finding.found, {"path": finding.path}
        if finding.kind == Kind.MISMATCH.value:
            _log.error(
                "%s is not what was stored: %s instead of %s%s",
                *(path, found, finding.expected, more(others)),
                extra=extra,
            )
        elif finding.kind == Kind.UNREADABLE.value:
            _log.error("%s cannot be read: %s%s", path, found, more(others), extra=extra)
        else:
            _log.error(
                "%s has no checksum in its attribute: %s%s", path, found, more(others), extra=extra
            )


def _effort_s() -> float:
    """Return the processor time of this thread, with the time that it has waited for one."""
    return thread_time() + waited_s()


def _is_used(device: Device) -> bool:
    load = device.load()
    return bool(load.held or load.waiting)


def _count(device: Device, path: bytes, error: OSError) -> None:
    """Count an error of reading a file below the device."""
    device.note_error(Attempt("read", "scrub", device.name + b"/" + path, ""), error)


class _Reader:
    """One device, and how far its scrub is.

    **Threads:** `due_at` is for the scheduling one as well, `report` for any; the rest for the
    one that reads.
    """

    def __init__(self, device: Device, state_dir: StateDir, period_s: float) -> None:
        self.device = device
        self.due_at = 0.0
        self.effort_s = 0.0
        """Of the thread, after its last rest."""
        self.owed_s = 0.0
        """Rest that is to come."""
        self.saved_at = 0.0
        self._state_dir = state_dir
        self._period_s = period_s
        self._progress = Progress()
        self._scrub: DeviceScrub | None = None
        self._before = Tally()
        """What ended runs of this process have read."""

    def load(self) -> bool:
        """Read what is known of the device; say whether it is to be read on now."""
        self._progress = Progress.from_json(self._state_dir.read(self._name) or {})
        due_in_s = self._progress.due_in_s(time.time(), self._period_s)
        if due_in_s:
            self.due_at = monotonic() + min(due_in_s, _RETRY_S * 60)
        return not due_in_s

    def run(self, rest: Rest, report: Callable[[Finding], None]) -> None:
        """Read on, to the end of the device if no rest ends it.

        **Raises:** `Unmounted`, `OSError`.
        """
        progress = self._progress
        progress.begin(time.time())
        self.effort_s, self.saved_at = _effort_s(), monotonic()

        def note(finding: Finding) -> None:
            self._progress.note(finding, time.time())
            report(finding)

        self._scrub = DeviceScrub(
            *(self.device.path, rest, note, progress.position),
            piece=_PIECE,
            on_error=partial(_count, self.device),
        )
        try:
            is_whole = self._scrub.run()
        finally:
            scrub, self._scrub = self._scrub, None
            self._before.add(scrub.tally)
            self._progress = self._progress.copy_with(scrub.position, scrub.tally)
        if is_whole:
            self._progress.end(time.time())
            self.due_at = 0.0
            tally = self._progress.tally
            _log.info(
                "%s was read to its end: %d files, %d MiB, %d findings",
                *(self.device, tally.files, tally.read_bytes // MIB, tally.findings),
            )

    def save(self) -> None:
        """Write how far it is."""
        progress, scrub = self._progress, self._scrub
        if scrub is not None:
            progress = progress.copy_with(scrub.position, scrub.tally)
        self._state_dir.write(self._name, progress.as_json())
        self.saved_at = monotonic()

    def report(self) -> Report:
        tally, progress, scrub = Tally(), self._progress, self._scrub
        tally.add(self._before)
        if scrub is not None:
            tally.add(scrub.tally)
        return Report(tally, progress.began_at, progress.ended_at, progress.findings)

    @property
    def _name(self) -> str:
        return f"scrub-{self.device.label}"
