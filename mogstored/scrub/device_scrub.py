"""All files of one device, in order; the caller decides when to rest, and when to end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from mogpoll import lowered_io_priority
from mogstored.log.printable import reason
from mogstored.scrub.file_check import FileCheck
from mogstored.scrub.verdict import Finding, Kind, Tally, Verdict
from mogstored.scrub.walk import Entry, Walk

PIECE = 1024 * 1024

Rest = Callable[[int], bool]
"""Given the bytes read since the last rest; False ends the scrub."""


class DeviceScrub:
    """One pass over a device.

    **Threads:** for one; the tally and the position may be read by any.
    """

    def __init__(
        self,
        root: str,
        rest: Rest,
        on_finding: Callable[[Finding], None],
        after: bytes = b"",
        *,
        piece: int = PIECE,
        on_error: Callable[[bytes, OSError], None] | None = None,
    ) -> None:
        """Begin behind the file `after`; `root` is the device's directory.

        There is a rest after `piece` bytes at most. `on_error` gets the path of what the system
        cannot read, below the device, before it is reported.

        **Raises:** `OSError` when it is not there.
        """
        self._root = root
        self._walk = Walk(root)
        self._rest = rest
        self._on_finding = on_finding
        self._on_error = on_error
        self._buffer = memoryview(bytearray(piece))
        self.position = after
        """The last file that has a verdict, below the device."""
        self.tally = Tally()

    def run(self) -> bool:
        """Read on to the end of the device, or until a rest ends it; True at the end.

        **Raises:** `Unmounted`.
        """
        entries = self._walk.entries(self.position)
        while (entry := self._next(entries)) is not None:
            if entry.is_directory:
                if entry.error is not None:
                    self._note_directory(entry.path, entry.error)
                goes_on = self._rest(0)
            else:
                goes_on = self._check(entry.path)
            if not goes_on:
                return False
        return True

    @staticmethod
    def _next(entries: Iterator[Entry]) -> Entry | None:
        with lowered_io_priority():
            return next(entries, None)

    def _check(self, path: bytes) -> bool:
        check = FileCheck(self._walk.root + b"/" + path)
        verdict = None
        while verdict is None:
            size, verdict = check.step(self._buffer)
            self.tally.read_bytes += size
            if verdict is None and not self._rest(size):
                # It is read again from its begin.
                return False
        if verdict.kind is Kind.PASSED_OVER or verdict.is_finding:
            # Not for files of another disk, or for names where one was.
            self._walk.check()
        self.tally.note(verdict)
        self.position = path
        if verdict.is_finding:
            self._report(path, verdict)
        return self._rest(size)

    def _note_directory(self, path: bytes, error: OSError) -> None:
        verdict = Verdict(Kind.UNREADABLE, "", reason(error), error)
        self.tally.verdicts[verdict.kind.value] += 1
        self._report(path, verdict)

    def _report(self, path: bytes, verdict: Verdict) -> None:
        if verdict.error is not None and self._on_error is not None:
            self._on_error(path, verdict.error)
        self._on_finding(Finding.of(os.path.join(self._root, os.fsdecode(path)), verdict))
