"""Every way out goes through every `finally`: signals, interrupt keys and failures alike."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


def make_signals_leave() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


@contextmanager
def working_place(parent: Path) -> Iterator[Path]:
    """A temporary directory, removed on every way out."""
    with tempfile.TemporaryDirectory(prefix="mogstored-bench-", dir=parent) as name:
        try:
            yield Path(name)
        finally:
            # The servers are stopped by now; a second Ctrl-C must not leave the files behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
