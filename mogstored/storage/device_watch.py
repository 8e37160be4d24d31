"""Watch the devices at work: replace the threads that hang, and forget clients that have gone.

Once a second it looks at every device's slots, in memory. A device that holds some and has
given none back for two seconds hangs, or as good as does. The threads in it are lost to the
others until it answers, so as many are started in their place, and what it has borrowed is
lent anew. When it answers again, the pool shrinks to what it was. Even when more devices
hang than there are threads, the rest is served again within three seconds.

Requests that wait for a slot belong to nobody but the line. Their clients may give them up
meanwhile, and then nobody should do them: a disk that comes back has enough to do. So the
sockets of those that have waited for a whole look are asked whether their clients are
there (`mogpoll.hangups`). One that has waited for less is left alone, for its client may
have shut down its own side only, and may well wait for an answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from mogpoll.hangups import hung_up
from mogpoll.stopping import signals_blocked
from mogstored.storage.device import Device, Devices, Load, Parkable
from mogstored.storage.shares import Lent, share_out

_log = logging.getLogger("mogstored")

_LOOK_INTERVAL_S = 1.0
# A device that gives back no slot for this long hangs.
HANGING_S = 2.0
# As many threads are started in the place of others, at most. Each costs some 50 KiB.
MAX_REPLACED = 500


class _Seen(NamedTuple):
    """When a device was first seen with so many departures."""

    departures: int
    since: float


class DiskThreads:
    """How many disk threads there should be, and who may have how many of them.

    `resize` is told how many there should be when that changes. `devices` may be filled
    after this was made: its parts need what it lends.

    **Threads:** `set_count` and `look` may be called by any. `_lock` guards the rest.
    """

    def __init__(self, count: int, devices: int, resize: Callable[[int], None]) -> None:
        self.devices: list[Devices] = []
        self.shares = share_out(count, devices)
        self.lent = Lent(self.shares.lent)
        self._count = self._resized_to = count
        self._resize = resize
        self._lock = threading.Lock()
        # The devices that hold slots, those of them that hang, and those in the log.
        self._unmoved: dict[Device, _Seen] = {}
        self._hanging: dict[Device, Load] = {}
        self._told: set[Device] = set()

    def set_count(self, count: int) -> None:
        """Have `count` threads, beside those that replace others."""
        with self._lock:
            self._count = count
            self._apply()

    def look(self) -> None:
        """See which devices hang now, and act upon it."""
        now = monotonic()
        with self._lock:
            unmoved, hanging = {}, {}
            for device in self._everything():
                load, departures = device.load(), device.departures
                if not load.held:
                    continue
                seen = self._unmoved.get(device)
                if seen is None or seen.departures != departures:
                    seen = _Seen(departures, now)
                unmoved[device] = seen
                if now - seen.since >= HANGING_S:
                    hanging[device] = load
            self._unmoved, self._hanging = unmoved, hanging
            self._tell()
            self._apply()

    def busy(self) -> dict[Device, Load]:
        """Return what is going on at the devices that have anything to do."""
        loads = {device: device.load() for device in self._everything()}
        return {device: load for device, load in loads.items() if load.held or load.waiting}

    def _everything(self) -> Sequence[Device]:
        return [device for each in self.devices for device in each.everything()]

    def _apply(self) -> None:
        """Bring shares and threads in line; the caller holds `_lock`."""
        replaced = min(MAX_REPLACED, sum(load.held for load in self._hanging.values()))
        if self._count + replaced != self._resized_to:
            self._resized_to = self._count + replaced
            self._resize(self._resized_to)
        self.shares = share_out(self._count, sum(each.count() for each in self.devices))
        # First the loan, then those who may borrow from it.
        lost = min(replaced, sum(load.borrowed for load in self._hanging.values()))
        self.lent.resize(self.shares.lent + lost)
        for each in self.devices:
            each.adjust(self.shares)

    def _tell(self) -> None:
        """Log which devices hang, once others wait for them: one alone may just be long."""
        for device in self._told - self._hanging.keys():
            _log.info("%s goes on with its requests", device)
        self._told &= self._hanging.keys()
        for device, load in self._hanging.items():
            if load.waiting and device not in self._told:
                self._told.add(device)
                _log.warning(
                    "%s has ended none of its %d requests for %g s, and %d more wait",
                    device,
                    load.held,
                    HANGING_S,
                    load.waiting,
                )


class DeviceWatch:
    """The thread that looks once a second.

    **Threads:** started and stopped by the main one.
    """

    def __init__(self, threads: DiskThreads) -> None:
        self._threads = threads
        # Those who waited at the last look.
        self._seen: set[Parkable] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="device-watch", daemon=True)

    def start(self) -> None:
        with signals_blocked():
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Do what is done once a second."""
        self._threads.look()
        waiting = {
            device: parked
            for each in self._threads.devices
            for device in each.everything()
            if (parked := device.parked())
        }
        for device, parked in waiting.items():
            # By number: the answer may be about another task of the same number by then,
            # but then this one has left the line, and `forget` does not find it there.
            asked = {task.fileno(): task for task in parked if task in self._seen}
            gone = {asked[fd] for fd in hung_up(asked)}
            if gone and (count := device.forget(gone)):
                _log.info("%s: %d requests were given up by their clients", device, count)
        self._seen = {task for parked in waiting.values() for task in parked}

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_INTERVAL_S):
            try:
                self.look()
            except Exception:
                _log.exception("the look at the devices failed")
