"""One utilization feed for a node, also when it has several worker processes.

The first worker measures (it also writes the usage files); its reports go to the master,
and from there to the pipes on which the other workers wait for them. What any of them wants
travels the other way, so that nothing is measured while nobody watches.
"""

from __future__ import annotations

import os
import threading

from mogstored.config.model import Config
from mogstored.process.link import Kind, Link
from mogstored.storage.utilization import (
    OnReport,
    PipeFeed,
    Report,
    UtilizationFeed,
    open_feed,
    serialize,
)

_YES, _NO = b"1", b""


def open_node_feed(config: Config) -> UtilizationFeed:
    """Return the feed of the process that measures."""
    return open_feed(iostat_command=os.environ.get("MOG_IOSTAT_CMD"), enabled=config.iostat)


def open_relayed_feed(reports_fd: int, link: Link) -> UtilizationFeed:
    """Return the feed of a worker that gets its reports from the master's pipe."""
    return PipeFeed(reports_fd, lambda wanted: link.send(Kind.WANT, encode_wanted(wanted)))


class MeasuringFeed:
    """The feed of the worker that measures: reports also go to the master.

    **Threads:** any. `_lock` guards who wants reports.
    """

    def __init__(self, feed: UtilizationFeed, link: Link) -> None:
        self._feed = feed
        self._link = link
        self._lock = threading.Lock()
        self._wanted_here = False
        self._wanted_elsewhere = False

    def start(self, on_report: OnReport) -> None:
        def share(report: Report) -> None:
            self._link.send(Kind.REPORT, serialize(report))
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
    """Return what a WANT message says."""
    return content == _YES
