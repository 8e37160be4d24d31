"""Remove the left-overs of all devices, at start and once a day, when the disks have time.

One process of a node does it, on one thread. A disk that hangs in the middle of its turn keeps
that thread, and the others are swept when it answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial

from mogpoll.system.iopriority import lowered_io_priority
from mogpoll.threads import start_thread
from mogstored.devices.device import Device
from mogstored.devices.inventory import DeviceInventory
from mogstored.files.leftovers import sweep

_log = logging.getLogger("mogstored")

INTERVAL_S = 24 * 3600.0
# After each directory its thread rests for so many times as long as it took: requests share the
# disk and the interpreter with it.
_REST = 4.0
_MAX_REST_S = 0.5
_STOP_S = 0.2


class LeftoverSweeper:
    """Sweeps the devices of all docroots, one after the other.

    **Threads:** made, started and stopped by the main one.
    """

    def __init__(
        self, inventories: Sequence[DeviceInventory], interval_s: float = INTERVAL_S
    ) -> None:
        self._inventories = inventories
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._moved_at = 0.0

    def start(self) -> None:
        """Sweep now, and then once in the interval.

        **Raises:** `ThreadRefused`.
        """
        if self._inventories:
            self._thread = start_thread(self._run, "leftovers", lasting=True)

    def stop(self) -> None:
        """End before the next directory; a disk that hangs keeps the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        with lowered_io_priority():
            while not self._stopping.is_set():
                for device in [each for it in self._inventories for each in it.present()]:
                    if not device.health.hangs():
                        self._sweep(device)
                self._stopping.wait(self._interval_s)

    def _sweep(self, device: Device) -> None:
        self._moved_at = time.monotonic()
        removed = sweep(device.path, time.time(), partial(self._pause, device))
        if removed:
            _log.info("%s: removed %d files that were left over", device, removed)

    def _pause(self, device: Device) -> bool:
        """Rest in proportion to what the last directory took; False ends the sweep."""
        took_s = time.monotonic() - self._moved_at
        is_over = self._stopping.wait(min(_REST * took_s, _MAX_REST_S))
        self._moved_at = time.monotonic()
        return not (is_over or device.is_down)
