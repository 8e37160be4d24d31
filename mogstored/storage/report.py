"""What tells how busy disks are, and what a watcher gets to see of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mogstored.storage.iostat import UNKNOWN

_log = logging.getLogger("mogstored")

# From the name of a disk to its utilization in percent: at most seven characters.
Report = Mapping[str, str]
OnReport = Callable[[Report], None]


class UtilizationFeed(Protocol):
    """A source of reports, one a second while they are wanted.

    **Threads:** `start` and `stop` belong to the main thread, `want` to any. `on_report`
    is called by the feed's own thread.
    """

    def start(self, on_report: OnReport) -> None:
        """Begin. Reports come once they are wanted."""

    def stop(self) -> None:
        """End; `on_report` is not called any more when this returns."""

    def want(self, wanted: bool) -> None:
        """Say whether anybody watches; the first report then comes within two seconds."""


def pass_on(on_report: OnReport, report: Report) -> None:
    """Call `on_report`; what it raises costs this report only, and not the feed."""
    try:
        on_report(report)
    except Exception:
        _log.exception("a utilization report was lost")


def format_block(
    devids: Iterable[int], names_of: Callable[[int], Sequence[str]], report: Report
) -> bytes:
    """Return what watchers get for one report: a line a device, and a dot.

    `names_of` returns the names of a device's disk; the first that is reported counts.
    """
    lines = [f"{devid}\t{_first(names_of(devid), report)}\n" for devid in devids]
    return "".join([*lines, ".\n"]).encode("ascii")


def _first(names: Sequence[str], report: Report) -> str:
    for name in names:
        if name in report:
            return report[name]
    return UNKNOWN
