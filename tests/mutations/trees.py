"""Copies of the checkout for faults, and runs of pytest in them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("mogpoll", "mogstored", "tests", "bench", "examples", "packaging", "vm", "docs")
_MARK = "MOG_TREE"
# A loop without an end must not take the machine's memory: 8 GiB of address space.
_LIMITED = ("/bin/sh", "-c", 'ulimit -v 8388608; exec "$@"', "sh")
# Of the output, which a fault can make endless: the end has the summary.
_KEPT_BYTES = 1 << 20


@dataclass
class Tree:
    """A copy below `folder`, whose packages are imported before any that is installed."""

    root: Path
    _marks: int = field(default=0, init=False)

    @classmethod
    def of_checkout(cls, folder: Path) -> Tree:
        ignored = shutil.ignore_patterns("__pycache__", "results")
        for name in _PARTS:
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, symlinks=True)
        for file in ROOT.iterdir():
            if file.is_file() and not file.name.startswith("."):
                shutil.copy2(file, folder)
        return cls(folder)

    def copy(self, folder: Path) -> Tree:
        shutil.copytree(self.root, folder, symlinks=True)
        return Tree(folder)

    def write(self, module: str, source: bytes) -> None:
        """Replace a source, with a new time: a compiled file is valid for one time only."""
        self._marks += 1
        path = self.root / module
        path.write_bytes(source)
        os.utime(path, (1e9 + self._marks, 1e9 + self._marks))

    def pytest(
        self,
        arguments: Sequence[str],
        limit_s: float,
        *,
        launcher: Sequence[str] = ("-m",),
        env: Mapping[str, str] | None = None,
    ) -> tuple[int | None, str]:
        """Return the exit status, None when it did not end in time, and the output's end.

        Processes that the tests have left running are killed.
        """
        mark = uuid.uuid4().hex
        # A folder of its own: tests change the modes of the one that all runs share.
        base = self.root.parent / f"t{mark[:8]}"
        environment = {**os.environ, "PYTHONPATH": str(self.root), _MARK: mark, **(env or {})}
        command = [*_LIMITED, sys.executable, "-P", *launcher, "pytest", "-q"]
        process = subprocess.Popen(
            [*command, "-p", "no:cacheprovider", f"--basetemp={base}", *arguments],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        end = _End(process.stdout)
        status: int | None = None
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_marked(mark)
            process.wait()
            shutil.rmtree(base, ignore_errors=True)
        return status, end.text()


class _End:
    """The last part of what comes through a pipe, read by a thread."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return it once all writers have closed the pipe."""
        self._thread.join()
        return self._kept.decode(errors="replace")

    def _read(self) -> None:
        with self._pipe:
            while piece := self._pipe.read1():  # type: ignore[attr-defined]
                self._kept = (self._kept + piece)[-_KEPT_BYTES:]


def _kill_marked(mark: str) -> None:
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark:
                process.send_signal(signal.SIGKILL)
        except psutil.Error:
            # Another user's, or ended.
            continue
