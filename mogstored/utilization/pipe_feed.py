"""Utilization reports from one process to others, through pipes.

A report is lines of a name and a value, and an empty line. A process that does not read in
time misses whole reports, never a part of one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

from mogpoll import Interest, Waker, open_poller
from mogpoll.threads import start_thread
from mogstored.utilization.report import OnReport, Report, pass_on

_PIECE = 65536


def serialize(report: Report) -> bytes:
    """Return the bytes of a report, for `ReportReader`."""
    lines = [f"{name}\t{value}\n" for name, value in report.items()]
    return os.fsencode("".join([*lines, "\n"]))


class ReportReader:
    """Turns the bytes of `serialize`, cut anywhere, into reports again."""

    def __init__(self) -> None:
        self._line = b""
        self._values: dict[str, str] = {}

    def feed(self, piece: bytes) -> list[Report]:
        """Return the reports that `piece` completes."""
        reports: list[Report] = []
        *lines, last = piece.split(b"\n")
        for rest in lines:
            line, self._line = self._line + rest, b""
            if line:
                name, _, value = os.fsdecode(line).partition("\t")
                self._values[name] = value
            else:
                reports.append(self._values)
                self._values = {}
        self._line += last
        return reports


class ReportSender:
    """Writes reports to a descriptor, and skips each that finds no room.

    **Threads:** one at a time.
    """

    def __init__(self, fd: int) -> None:
        """Write to `fd`, which becomes non-blocking; the caller closes it."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._rest = b""

    def send(self, report: Report) -> None:
        """Send the rest of the last report, then this one if there is room.

        **Raises:** `OSError` when the reader has gone.
        """
        if self._rest:
            self._flush()
        if not self._rest:
            self._rest = serialize(report)
            self._flush()

    def _flush(self) -> None:
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
        except BlockingIOError:
            # The rest goes first next time.
            return


class PipeFeed:
    """Reads reports from a descriptor. See `mogstored.utilization.report.UtilizationFeed`.

    Unwanted reports are read and dropped, so that the pipe never holds old ones.
    `on_want`, if given, is called to pass on whether reports are wanted.

    **Threads:** `_wanted` is read and written whole.
    """

    def __init__(self, fd: int, on_want: Callable[[bool], None] | None = None) -> None:
        """Read from `fd`, which becomes non-blocking, and is closed by `stop`."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._on_want = on_want
        self._wanted = False
        self._stopped = threading.Event()
        self._waker: Waker | None = None
        self._thread: threading.Thread | None = None

    def start(self, on_report: OnReport) -> None:
        self._waker = waker = Waker()
        run = partial(self._run, on_report, waker)
        self._thread = start_thread(run, "utilization", lasting=True)

    def stop(self) -> None:
        self._stopped.set()
        if self._waker is not None and self._thread is not None:
            self._waker.wake()
            self._thread.join()
            self._waker.close()
        os.close(self._fd)

    def want(self, wanted: bool) -> None:
        self._wanted = wanted
        if self._on_want is not None:
            self._on_want(wanted)

    def _run(self, on_report: OnReport, waker: Waker) -> None:
        if self._stopped.is_set():
            # Called again after an error, which may last.
            return
        reader = ReportReader()
        poller = open_poller()
        try:
            waker.attach(poller)
            poller.add(self._fd, Interest.READ)
            while not self._stopped.is_set():
                event = poller.wait()
                if event is None or event[0] != self._fd:
                    continue
                if not self._read(reader, on_report):
                    # The sender has gone; the end of this process is near.
                    return
                poller.rearm(self._fd, Interest.READ)
        finally:
            poller.close()

    def _read(self, reader: ReportReader, on_report: OnReport) -> bool:
        """Pass on the reports that have arrived; False at the end of the stream."""
        try:
            piece = os.read(self._fd, _PIECE)
        except BlockingIOError:
            return True
        for report in reader.feed(piece):
            if self._wanted:
                pass_on(on_report, report)
        return bool(piece)
