"""Work out the utilization from the kernel's counters, without a child process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mogpoll.stopping import signals_blocked
from mogstored.storage.iostat import UNKNOWN
from mogstored.storage.report import OnReport, Report, pass_on

_INTERVAL_S = 1.0
# Where no disk is counted, watchers still get a sign of life from time to time.
_SIGN_OF_LIFE_S = 10.0

# Milliseconds that each disk was busy since some time or other.
Counters = Mapping[str, int]


class Sample(NamedTuple):
    """Counters, and when they were read."""

    at_s: float
    busy_ms: Counters


def rate(before: Sample, now: Sample, decimals: int) -> Report:
    """Return the part of the time between two samples that each disk was busy, in percent.

    A counter that went backwards belongs to another disk of the same name, or has wrapped
    around: there is nothing to tell until the next time. So it is with a disk that is new.
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
    """See `mogstored.storage.report.UtilizationFeed`.

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
        self._thread = threading.Thread(
            target=self._run, args=(on_report,), name="utilization", daemon=True
        )
        with signals_blocked():
            self._thread.start()

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
            while self._is_wanted_after(
                self._interval_s if before.busy_ms else self._sign_of_life_s
            ):
                now = self._sample()
                pass_on(on_report, rate(before, now, self._decimals))
                before = now

    def _sample(self) -> Sample:
        return Sample(time.monotonic(), self._counters())

    def _await_watchers(self) -> bool:
        """Sleep until somebody watches; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._stopped)
            return not self._stopped

    def _is_wanted_after(self, interval_s: float) -> bool:
        """Sleep for the interval; say whether reports were wanted all the time."""
        with self._changed:
            return not self._changed.wait_for(
                lambda: self._stopped or not self._wanted, interval_s
            )
