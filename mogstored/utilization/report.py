"""Reports of how busy disks are: the contract of their sources, and the text for watchers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mogstored.utilization.iostat_parser import UNKNOWN

_log = logging.getLogger("mogstored")

# From the name of a disk to its utilization in percent: at most seven characters.
Report = Mapping[str, str]
OnReport = Callable[[Report], None]


class UtilizationFeed(Protocol):
    """A source of reports, one a second while they are wanted.

    **Threads:** `start` and `stop` are for the main thread, `want` for any. `on_report` is
    called by the feed's own thread.
    """

    def start(self, on_report: OnReport) -> None:
        """Start its thread; reports come once they are wanted.

        **Raises:** `ThreadRefused`.
        """

    def stop(self) -> None:
        """End; no call of `on_report` after this returns."""

    def want(self, wanted: bool) -> None:
        """Switch reports on or off; the first comes within two seconds."""


def pass_on(on_report: OnReport, report: Report) -> None:
    """Call `on_report`; an exception is logged, and the feed goes on."""
    try:
        on_report(report)
    except Exception:
        _log.exception("a utilization report was lost")


class FirstFault:
    """Logs the first reason why disks are missing from reports, and no other.

    **Threads:** one.
    """

    def __init__(self) -> None:
        self._is_logged = False

    def __call__(self, why: str) -> None:
        if not self._is_logged:
            self._is_logged = True
            _log.warning("utilization of some disks is unknown: %s", why)


def format_block(
    devids: Iterable[int], names_of: Callable[[int], Sequence[str]], report: Report
) -> bytes:
    """Return the block of text for one report: a line per device, and a dot.

    `names_of` returns the names of a device's disk; the first in the report counts.
    """
    lines = [f"{devid}\t{_first(names_of(devid), report)}\n" for devid in devids]
    return "".join([*lines, ".\n"]).encode("ascii")


def _first(names: Sequence[str], report: Report) -> str:
    for name in names:
        if name in report:
            return report[name]
    return UNKNOWN
