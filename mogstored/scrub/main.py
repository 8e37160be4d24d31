"""`mogstored scrub`, from its arguments to its exit status."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from time import monotonic

from mogpoll.threads import ThreadRefused, start_thread
from mogstored.files.names import device_number
from mogstored.log.printable import printable, reason
from mogstored.scrub.arguments import EX_USAGE, Options, parse
from mogstored.scrub.device_scrub import DeviceScrub
from mogstored.scrub.pace import MIB, Pace
from mogstored.scrub.verdict import Finding, Kind, Tally
from mogstored.scrub.walk import Unmounted

_SOUND, _WRONG, _INTERRUPTED = 0, 1, 128 + signal.SIGINT
_PROGRESS_S = 0.5


def main(prog: str, arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    options = parse(prog, arguments)
    try:
        devices = find_devices(options.path)
    except ValueError as error:
        print(printable(f"{prog}: {error}"), file=sys.stderr)
        return EX_USAGE
    return _Command(prog, options).run(devices)


def find_devices(path: str) -> list[str]:
    """Return the devices that a docroot holds, by number, or the one that is named.

    **Raises:** `ValueError`, with the reason, if there is none.
    """
    path = path.rstrip("/") or "/"
    name = os.path.basename(os.path.abspath(path))
    if device_number(os.fsencode(name)) is not None and os.path.isdir(path):
        return [path]
    try:
        names = [os.fsencode(name) for name in os.listdir(path)]
    except OSError as error:
        raise ValueError(f"{path}: {reason(error)}") from None
    numbers = sorted(number for name in names if (number := device_number(name)) is not None)
    if not numbers:
        raise ValueError(f"{path} is no device, and holds none: no directory dev1, dev2...")
    return [os.path.join(path, f"dev{number}") for number in numbers]


class _Command:
    """One run.

    **Threads:** `_lock` guards stdout, and what is written by several.
    """

    def __init__(self, prog: str, options: Options) -> None:
        self._prog = prog
        self._options = options
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._scrubs: list[DeviceScrub] = []
        self._failures = 0
        self._began_at = monotonic()
        self._shows_progress = sys.stderr.isatty() and not options.json

    def run(self, devices: Sequence[str]) -> int:
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        threads = []
        for of_disk in _by_disk(devices):
            work = partial(self._scrub_all, of_disk)
            try:
                threads.append(start_thread(work, "scrub"))
            except ThreadRefused:
                work()
        for thread in threads:
            while thread.is_alive():
                thread.join(_PROGRESS_S)
                self._show_progress()
        if self._shows_progress:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._summarize(len(devices))
        if self._stopping.is_set():
            return _INTERRUPTED
        return _WRONG if self._failures or self._tally().findings else _SOUND

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self._stopping.is_set():
            # A disk hangs: the second one ends at once.
            os._exit(_INTERRUPTED)
        self._stopping.set()

    def _scrub_all(self, devices: Sequence[str]) -> None:
        """Read the devices of one disk, one after the other."""
        for device in devices:
            if self._stopping.is_set():
                return
            pace = Pace(self._options.rate)
            try:
                scrub = DeviceScrub(device, partial(self._rest, pace), self._print_finding)
                self._scrubs.append(scrub)
                scrub.run()
            except Unmounted:
                self._fail(f"{device}: unmounted before its end")
            except OSError as error:
                self._fail(f"{device}: {reason(error)}")

    def _rest(self, pace: Pace, size: int) -> bool:
        delay_s = 0.0 if math.isinf(self._options.rate) else pace.delay_s(size)
        return not self._stopping.wait(delay_s) if delay_s else not self._stopping.is_set()

    def _fail(self, message: str) -> None:
        with self._lock:
            self._failures += 1
            print(printable(f"{self._prog}: {message}"), file=sys.stderr, flush=True)

    def _print_finding(self, finding: Finding) -> None:
        line = finding.line()
        if self._options.json:
            line = json.dumps({"finding": asdict(finding)})
        self._print(line)

    def _print(self, line: str) -> None:
        try:
            with self._lock:
                print(line, flush=True)
        except BrokenPipeError:
            # The interpreter flushes once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            self._stopping.set()

    def _tally(self) -> Tally:
        total = Tally()
        for scrub in self._scrubs:
            total.add(scrub.tally)
        return total

    def _show_progress(self) -> None:
        if not self._shows_progress:
            return
        tally, seconds = self._tally(), monotonic() - self._began_at
        size = tally.read_bytes / MIB
        text = (
            f"{tally.files} files, {size:.0f} MiB, {size / max(seconds, 0.001):.1f} MiB/s,"
            f" {tally.findings} findings"
        )
        with self._lock:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def _summarize(self, devices: int) -> None:
        tally, seconds = self._tally(), monotonic() - self._began_at
        is_whole = not (self._stopping.is_set() or self._failures)
        if self._options.json:
            counts = {kind.name.lower(): tally.verdicts[kind.value] for kind in Kind}
            summary = {
                "devices": devices,
                "files": tally.files,
                "bytes": tally.read_bytes,
                "seconds": round(seconds, 3),
                "whole": is_whole,
                **counts,
            }
            self._print(json.dumps({"summary": summary}))
            return
        counted = ", ".join(f"{tally.verdicts[kind.value]} {kind.value}" for kind in Kind)
        self._print(
            f"{tally.files} files on {devices} devices, {tally.read_bytes / MIB:.1f} MiB in"
            f" {seconds:.1f} s: {counted}{'' if is_whole else '; not read to the end'}"
        )


def _by_disk(devices: Sequence[str]) -> list[list[str]]:
    """Return the devices in groups that share a disk, as far as their file systems show it."""
    groups: dict[object, list[str]] = {}
    for device in devices:
        try:
            key: object = os.stat(device).st_dev
        except OSError:
            # It is said when its turn comes.
            key = device
        groups.setdefault(key, []).append(device)
    return list(groups.values())
