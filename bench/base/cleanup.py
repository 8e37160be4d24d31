"""Signals and working directories: every exit runs every `finally`, and no file is left."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def exit_on_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Handle signals at the end of the `with`: inside it a process is started and gets its owner.

    An interrupt in between would leave it behind. Children would inherit a mask, hence none.
    """
    pending: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {each: signal.signal(each, lambda got, _: pending.append(got)) for each in numbers}
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for number in pending:
            signal.raise_signal(number)


@contextmanager
def workdir(parent: Path) -> Iterator[Path]:
    """A temporary directory, removed on every exit."""
    with tempfile.TemporaryDirectory(prefix="mogstored-bench-", dir=parent) as name:
        # Servers may run as another user.
        Path(name).chmod(0o755)
        try:
            yield Path(name)
        finally:
            # The servers are stopped by now; a second Ctrl-C must not leave the files behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
