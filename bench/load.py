"""One run of load on one server: wrk driven by load.lua, or our sink for large files."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.report import LoadError, Report, parse_report
from bench.works import MIB, Work

_HERE = Path(__file__).resolve().parent
_TIMEOUT = "30s"


@dataclass(frozen=True, slots=True)
class Load:
    """How the clients are started; `threads` is the most that one run of wrk may use."""

    wrk: str
    threads: int

    def run(self, work: Work, connections: int, port: int, seconds: int) -> Report:
        """Raises: LoadError unless every single answer was right."""
        if work.method == "GET" and work.size >= MIB:
            argv = _sink_argv(work, connections, port, seconds)
        else:
            argv = self._wrk_argv(work, connections, port, seconds)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=_HERE.parent)
        if done.returncode != 0:
            raise LoadError(f"{argv[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return parse_report(done.stdout)

    def _wrk_argv(self, work: Work, connections: int, port: int, seconds: int) -> list[str]:
        threads = min(self.threads, connections)
        options = ["-t", str(threads), "-c", str(connections), "-d", f"{seconds}s"]
        options += ["--latency", "--timeout", _TIMEOUT, "-s", str(_HERE / "load.lua")]
        count = work.path_count(connections)
        if work.method == "PUT":  # each thread of wrk has paths of its own
            count = -(-count // threads)
        arguments = [work.method, work.size, work.path_format, work.first_fid, count]
        url = f"http://127.0.0.1:{port}/"
        return [self.wrk, *options, url, "--", *map(str, arguments)]


def spare_threads() -> int:
    """How many threads of wrk to use: one core stays the server's, and two are always enough."""
    return max(1, min(2, (os.cpu_count() or 1) - 1))


def _sink_argv(work: Work, connections: int, port: int, seconds: int) -> list[str]:
    count = work.path_count(connections)
    files = (work.path_format, work.first_fid, count, work.size)
    arguments = (port, *files, connections, seconds)
    return [sys.executable, "-m", "bench.sink", *map(str, arguments)]
