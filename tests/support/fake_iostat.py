"""Print reports as iostat does, in unpredictable pieces.

    python fake_iostat.py [--piece BYTES] [--flood] [--interval SECONDS] [--reports N] DISK...

The first report says 0.01 for every disk, the next one 0.02, and so on. `--piece N` writes N
bytes at a time; without it each report is one write, and with `--flood` every write holds two,
one right after the other. It ends with status 0 after `--reports`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_BANNER = "Linux 6.6.6 (host) \t01/01/2025 \t_x86_64_\t(666 CPU)\n\n"
_HEADER = "Device            r/s     rkB/s   rrqm/s  %rrqm r_await rareq-sz  aqu-sz  %util\n"
_COLUMNS = "            1.05     31.95     0.00   0.00    0.55    30.43    0.82"

STDOUT = 1


def command(*disks: str, options: str = "") -> str:
    """Return the value for MOG_IOSTAT_CMD."""
    program = [sys.executable, "-P", str(Path(__file__).resolve()), *options.split(), *disks]
    return shlex.join(program)


def reports(disks: Sequence[str]) -> Iterator[bytes]:
    """Yield one report after the other, with the blank line that ends each."""
    for number in itertools.count(1):
        utilization = f"{number // 100 % 100}.{number % 100:02}"
        lines = [f"{disk}{_COLUMNS}   {utilization}\n" for disk in disks]
        yield "".join([_HEADER, *lines, "\n"]).encode()


def _write(data: bytes, piece: int) -> None:
    for begin in range(0, len(data), piece):
        os.write(STDOUT, data[begin : begin + piece])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--piece", type=int, default=1 << 20)
    parser.add_argument("--flood", action="store_true")
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--reports", type=int)
    parser.add_argument("disks", nargs="*")
    options = parser.parse_args()
    _write(_BANNER.encode(), options.piece)
    texts = itertools.islice(reports(options.disks), options.reports)
    for text in texts:
        if options.flood:
            text += next(texts, b"")
        _write(text, options.piece)
        if not options.flood:
            time.sleep(options.interval)


if __name__ == "__main__":
    main()
