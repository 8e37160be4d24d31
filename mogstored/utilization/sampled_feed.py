"""Utilization from the kernel's counters, without a child process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from mogpoll.threads import start_thread
from mogstored.utilization.iostat_parser import UNKNOWN
from mogstored.utilization.report import OnReport, Report, pass_on

_INTERVAL_S = 1.0
# Interval of empty reports where no disk is counted: a watcher sees that the node lives.
_SIGN_OF_LIFE_S = 10.0

# Milliseconds that each disk was busy since some point in time.
Counters = Mapping[str, int]


class Sample(NamedTuple):
    """Counters, and when they were read."""

    at_s: float
    busy_ms: Counters


def rate(before: Sample, now: Sample, decimals: int) -> Report:
    """Return how much of the time between two samples each disk was busy, in percent.

    A counter that went backwards belongs to another disk of the same name, or has wrapped
    around: the value is unknown until the next sample, as it is for a new disk.
    """
    elapsed_ms = (now.at_s - before.at_s) * 1000
    report = {}
    for name, busy_ms in now.busy_ms.items():
        delta_ms = busy_ms - before.busy_ms.get(name, busy_ms + 1)
        if delta_ms < 0 or elapsed_ms <= 0:
            report[name] = UNKNOWN
        else:
            report[name] = f"{min(100.0, 100 * delta_ms / elapsed_ms):.{decimals}f}"
    return report


class SampledFeed:
    """See `mogstored.utilization.report.UtilizationFeed`.

    **Threads:** `_changed` guards `_wanted` and `_stopped`.
    """

    def __init__(
        self,
        counters: Callable[[], Counters],
        *,
        decimals: int,
        interval_s: float = _INTERVAL_S,
        sign_of_life_s: float = _SIGN_OF_LIFE_S,
    ) -> None:
        self._counters = counters
        self._decimals = decimals
        self._interval_s = interval_s
        self._sign_of_life_s = sign_of_life_s
        self._changed = threading.Condition()
        self._wanted = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self, on_report: OnReport) -> None:
        run = partial(self._run, on_report)
        self._thread = start_thread(run, "utilization", lasting=True)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def want(self, wanted: bool) -> None:
        with self._changed:
            self._wanted = wanted
            self._changed.notify_all()

    def _run(self, on_report: OnReport) -> None:
        while self._await_watchers():
            before = self._sample()
            # The first report is due soon, with or without disks.
            interval_s = min(self._interval_s, self._sign_of_life_s)
            while self._is_wanted_after(interval_s):
                now = self._sample()
                pass_on(on_report, rate(before, now, self._decimals))
                before = now
                interval_s = self._interval_s if now.busy_ms else self._sign_of_life_s

    def _sample(self) -> Sample:
        return Sample(time.monotonic(), self._counters())

    def _await_watchers(self) -> bool:
        """Sleep until reports are wanted; False when the feed stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._stopped)
            return not self._stopped

    def _is_wanted_after(self, interval_s: float) -> bool:
        """Sleep for the interval; False as soon as reports are not wanted."""
        with self._changed:
            return not self._changed.wait_for(
                lambda: self._stopped or not self._wanted, interval_s
            )
