"""Share one utilization feed between the worker processes of a node.

The first worker measures. It sends each report to the master, which relays it to the other workers
through pipes. Whether reports are wanted travels the opposite way, so that nothing is measured
while there are no watchers.
"""

from __future__ import annotations

import os
import threading

from mogstored.config.model import Config
from mogstored.process.ipc import IpcChannel, Kind
from mogstored.utilization.pipe_feed import PipeFeed, serialize
from mogstored.utilization.report import OnReport, Report, UtilizationFeed
from mogstored.utilization.source import open_feed

_YES, _NO = b"1", b""


def open_node_feed(config: Config) -> UtilizationFeed:
    """Return the feed of the process that measures."""
    return open_feed(iostat_command=os.environ.get("MOG_IOSTAT_CMD"), enabled=config.iostat)


def open_relayed_feed(reports_fd: int, ipc: IpcChannel) -> UtilizationFeed:
    """Return the feed of a worker that reads its reports from the master's pipe."""
    return PipeFeed(reports_fd, lambda wanted: ipc.send(Kind.WANT, encode_wanted(wanted)))


class MeasuringFeed:
    """The feed of the measuring worker, which also sends its reports to the master.

    **Threads:** any. `_lock` guards `_wanted_here` and `_wanted_elsewhere`, and is held while the
    feed is notified, so that updates cannot be reordered.
    """

    def __init__(self, feed: UtilizationFeed, ipc: IpcChannel) -> None:
        self._feed = feed
        self._ipc = ipc
        self._lock = threading.Lock()
        self._wanted_here = False
        self._wanted_elsewhere = False

    def start(self, on_report: OnReport) -> None:
        def share(report: Report) -> None:
            self._ipc.send(Kind.REPORT, serialize(report))
            on_report(report)

        self._feed.start(share)

    def stop(self) -> None:
        self._feed.stop()

    def want(self, wanted: bool) -> None:
        with self._lock:
            self._wanted_here = wanted
            self._feed.want(wanted or self._wanted_elsewhere)

    def want_elsewhere(self, wanted: bool) -> None:
        """Note whether the other workers want reports."""
        with self._lock:
            self._wanted_elsewhere = wanted
            self._feed.want(self._wanted_here or wanted)


def encode_wanted(wanted: bool) -> bytes:
    """Return the content of a WANT message."""
    return _YES if wanted else _NO


def decode_wanted(content: bytes) -> bool:
    """Return what the content of a WANT message means."""
    return content == _YES
