"""Watch the devices at work: replace threads that hang, and drop requests without a client.

Once a second the watchdog looks at every device's slots, in memory. A device that holds some
and has given none back for `HANGING_S` hangs. Its threads are lost to the others until it
answers, so as many are started in their place, and what it has borrowed is shared anew. When it
answers again, the pool shrinks to what it was. Even when more devices hang than there are
threads, the rest is served again within three seconds.

A request that waits for a slot is watched by no worker. Its client may give up meanwhile, and
then it should not be done: a disk that comes back has enough to do. So the sockets of requests
that have waited for a whole look are asked whether their clients are there
(`mogpoll.system.hangups`), and probed from then on. The end of what a client sends is no
sign: it may have shut down its own side only, and wait for the answer. So it is sent what may
come before the answer, a 100 or the beginning of a reply: a closed client's system answers that
with a reset. A client of HTTP/1.0 takes nothing before its answer; for that one the probes are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from mogpoll.system.hangups import hung_up, probe_often, sends_no_more
from mogpoll.threads import start_thread
from mogstored.devices.device import Device, Devices
from mogstored.devices.health import HeldSlots, is_hung
from mogstored.devices.shares import MOST, SharedSlots, share_out
from mogstored.devices.slots import Load, Parkable
from mogstored.files.disk_errors import log_left_out

_log = logging.getLogger("mogstored")

_LOOK_INTERVAL_S = 1.0
# Seconds between two keepalive probes of a client whose request waits.
_PROBE_S = 15
# Threads in the place of hung ones, at most. Each costs some 50 KiB.
MAX_REPLACED = 500


class _Seen(NamedTuple):
    """When a device was first seen with so many departures."""

    departures: int
    since: float


class SlotAllocator:
    """How many disk threads there should be, and how many of them each device may have.

    `resize` is called with the number of threads when that changes; `size` returns how many
    there are, fewer where the system has refused some. A device may hold `most` of them, or its
    even share. `devices` may be filled later: they are made with the slots that are shared here.

    **Threads:** `set_count` and `look` may be called by any. `_lock` guards the rest.
    """

    def __init__(
        self,
        count: int,
        devices: int,
        resize: Callable[[int], None],
        size: Callable[[], int] | None = None,
        most: int = MOST,
    ) -> None:
        self.devices: list[Devices] = []
        self._most = most
        self.shares = share_out(count, devices, most)
        self.shared = SharedSlots(self.shares.shared)
        self._count = self._resized_to = count
        self._resize = resize
        self._size = size
        # Threads that the system has refused, as of the last look.
        self._missing = 0
        self._lock = threading.Lock()
        # The devices that hold slots, and those of them that hang.
        self._unmoved: dict[Device, _Seen] = {}
        self._hung: dict[Device, Load] = {}

    def set_count(self, count: int) -> None:
        """Have `count` threads, beside those that replace hung ones."""
        with self._lock:
            self._count = count
            self._apply()

    def look(self) -> None:
        """Find the devices that hang now, and act upon it."""
        now = monotonic()
        with self._lock:
            unmoved, hung = {}, {}
            for device in self._everything():
                load = device.load()
                if not load.held:
                    continue
                departures = device.departures()
                seen = self._unmoved.get(device)
                if seen is None or seen.departures != departures:
                    seen = _Seen(departures, now)
                unmoved[device] = seen
                if is_hung(seen.since, now):
                    hung[device] = load
            for device in self._hung.keys() | hung.keys():
                slots = hung.get(device)
                device.health.held_slots = slots and HeldSlots(slots.held, slots.waiting)
            self._unmoved, self._hung = unmoved, hung
            if self._size is not None:
                self._missing = max(0, self._resized_to - self._size())
            self._apply()
        for device in self._everything():
            device.health.log_change()

    def busy(self) -> dict[Device, Load]:
        """Return the devices that have anything to do."""
        loads = {device: device.load() for device in self._everything()}
        return {device: load for device, load in loads.items() if load.held or load.waiting}

    def _everything(self) -> Sequence[Device]:
        return [device for each in self.devices for device in each.everything()]

    def _apply(self) -> None:
        """Bring shares and threads in line; the caller holds `_lock`."""
        replaced = min(MAX_REPLACED, sum(load.held for load in self._hung.values()))
        if self._count + replaced != self._resized_to:
            self._resized_to = self._count + replaced
            self._resize(self._resized_to)
        # No slot without a thread behind it: a request would hold one and wait for the other.
        present = max(1, self._count + min(0, replaced - self._missing))
        self.shares = share_out(present, sum(each.count() for each in self.devices), self._most)
        # First the loan, then the devices that may borrow from it.
        borrowed = sum(load.borrowed for load in self._hung.values())
        lost = max(0, min(replaced - self._missing, borrowed))
        self.shared.resize(self.shares.shared + lost)
        for each in self.devices:
            each.resize(self.shares)


class Watchdog:
    """The thread that looks once a second, and calls `also`.

    **Threads:** started and stopped by the main one.
    """

    def __init__(
        self, allocator: SlotAllocator, also: Callable[[], object] = lambda: None
    ) -> None:
        self._allocator = allocator
        self._also = also
        # The requests that waited at the last look, and those of them that are probed.
        self._seen: set[Parkable] = set()
        self._probed: set[Parkable] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """**Raises:** `ThreadRefused`."""
        self._thread = start_thread(self._run, "watchdog", lasting=True)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Do what is done once a second."""
        self._allocator.look()
        log_left_out()
        waiting = {
            device: parked
            for each in self._allocator.devices
            for device in each.everything()
            if (parked := device.parked())
        }
        for device, parked in waiting.items():
            # By number: the answer may be about another task of the same number by then,
            # but then this one has left the queue, and `cancel` does not find it there.
            asked = {task.fileno(): task for task in parked if task in self._seen}
            for fd, task in asked.items():
                if task not in self._probed:
                    probe_often(fd, _PROBE_S)
            self._probed.update(asked.values())
            # A client that has closed answers with a reset, which the next look finds.
            device.send_ahead({asked[fd] for fd in sends_no_more(asked)})
            gone = {asked[fd] for fd in hung_up(asked)}
            if gone and (count := device.cancel(gone)):
                _log.info("%s: %d requests were given up by their clients", device, count)
        self._seen = {task for parked in waiting.values() for task in parked}
        self._probed &= self._seen

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_INTERVAL_S):
            self.look()
            self._also()
