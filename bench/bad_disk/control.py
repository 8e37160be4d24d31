"""Mount a bad disk and control it: what tests and benches import.

The operations are the kernel's: `lookup` of a name, `getattr`, `open`, `read`, `create`,
`write`, `rename`, `unlink`, `statfs` and others, see `bench.bad_disk.wire`. Nothing is
cached by name, so even a `stat` of a file arrives here; contents of a file that stays open
are cached. A process that waits for an answer cannot be killed: release the disk first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.bad_disk.server import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_CHECKOUT = Path(__file__).parents[2]
_PATIENCE_S = 30.0 * float(os.environ.get("MOG_TEST_PATIENCE") or 1.0)
_PAUSE_S = 0.005


class CannotMount(Exception):
    """The system has no /dev/fuse, or does not let us use it."""


class SlowDisk:
    """A mounted disk. Where no operations are named, all are meant."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        self.path = path
        self._process = process

    def hang(self, *operations: str) -> None:
        """From now on, do not answer until `release`."""
        self._rule(operations)

    def delay(self, seconds: float, *operations: str) -> None:
        """From now on, answer so much later."""
        self._rule(operations, delay_s=seconds)

    def seek(self, least_s: float, most_s: float, *operations: str) -> None:
        """From now on, answer as a disk with one head: in turn, each after a random time."""
        self._rule(operations, delay_s=least_s, most_s=most_s)

    def fail(self, error: int, *operations: str) -> None:
        """From now on, answer with this error and do nothing."""
        self._rule(operations, error=error)

    def release(self) -> None:
        """Answer everything that waits, and be a good disk again."""
        self._command(verb="release")

    def held(self) -> dict[str, int]:
        """Return how many requests hang, by operation."""
        return self._command(verb="held")

    def wait_until_held(self, count: int, *operations: str) -> None:
        """Wait until so many requests hang, counting only these operations."""
        chosen = operations or OPERATIONS

        def enough() -> bool:
            held = self.held()
            return sum(held.get(name, 0) for name in chosen) >= count

        _wait_until(enough, f"{count} requests hang")

    def _rule(self, operations: Sequence[str], **how: Any) -> None:
        assert OPERATIONS.issuperset(operations), operations
        self._command(verb="rule", operations=operations, **how)

    def _command(self, **command: Any) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        counts: dict[str, int] = json.loads(self._process.stdout.readline())
        return counts


@contextmanager
def mounted(
    path: Path, module: str = "bench.bad_disk.server", *arguments: str
) -> Iterator[SlowDisk]:
    """Mount a new one on the new directory `path`; `module` is run as the process behind it.

    **Raises:** `CannotMount`; on leaving `AssertionError` while a file on it is open.
    """
    if sys.platform != "linux":
        raise CannotMount("speaks to Linux's /dev/fuse")
    path.mkdir()
    process = _start(module, str(path), *arguments)
    with process:
        assert process.stdout is not None
        word = process.stdout.readline().strip()
        if word.startswith("cannot mount"):
            raise CannotMount(word)
        assert word == "mounted", "the process of the file system has failed"
        disk = SlowDisk(path, process)
        try:
            yield disk
            disk.release()
            # A process that was killed may take a moment to close its files.
            _wait_until(lambda: _unmount(path), "no file is open on the disk")
        finally:
            # The end of the process fails every request that waits, so nothing hangs here.
            process.kill()
            subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True)


def _wait_until(claim: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {_PATIENCE_S:g} s: {what}")
        time.sleep(_PAUSE_S)


def _unmount(path: Path) -> bool:
    return subprocess.run(["umount", str(path)], check=False, capture_output=True).returncode == 0


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    # `bench` and `tests` are found in the checkout only.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_CHECKOUT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is for the process that has mounted it.
        start_new_session=True,
    )
