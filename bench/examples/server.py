"""A program that prints its port, serves, and ends with its input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.base.cleanup import signals_deferred
from bench.load.child import ROOT, environment
from bench.servers.peers import PeerFailed
from bench.servers.processes import cpu_s


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu_s(self) -> float:
        return cpu_s(self.pid)


@contextmanager
def running(program: Path, *arguments: object) -> Iterator[Server]:
    """Start a program with port 0 and `arguments`. Raises: PeerFailed."""
    argv = [sys.executable, str(program), "0", *map(str, arguments)]
    with signals_deferred():
        process = subprocess.Popen(
            argv,
            env={**environment(), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if " on port " not in line:
                raise PeerFailed(f"{program.name} printed {line!r} and no port")
            yield Server(int(line.split()[-1]), process.pid)
            process.stdin.close()
            process.wait(20)
        finally:
            process.kill()
