"""One run of load on one server: wrk driven by wrk.lua, or our client for large files."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from bench.base.figures import Sample
from bench.load.child import ROOT, environment
from bench.servers.peers import Peer, wait_for
from bench.servers.workloads import FIRST_STORED, MIB, Workload

_SCRIPT = Path(__file__).with_name("wrk.lua")
_ERRORS = ("connect", "read", "write", "timeout", "status")
# File numbers of one run, and of all runs before they begin anew: their files are gone then.
_RUN_FIDS = 10_000_000
_RUNS = itertools.cycle(range(FIRST_STORED, 10 * FIRST_STORED - _RUN_FIDS, _RUN_FIDS))
_FIDS_OF_A_DIRECTORY = 1000
_CLEAN_EACH_S = 0.2
_UNUSED_S = 0.5


class LoadError(Exception):
    """A run that must not count: an error answer, a socket error, or no report at all."""


@dataclass(frozen=True, slots=True)
class Wrk:
    """How clients are started; `threads` is the most that one run of wrk may use."""

    binary: str
    threads: int = 1

    def run(
        self,
        peer: Peer,
        work: Workload,
        connections: int,
        seconds: float,
        *,
        may_hang: bool = False,
        keeps: bool = False,
    ) -> Sample:
        """Raises: LoadError unless every answer was right, or missing where it `may_hang`.

        What was stored is removed, unless it `keeps` that.
        """
        used_s = peer.cpu_s()
        with self.running(peer, work, connections, seconds, keeps=keeps) as process:
            output, errors = process.communicate()
        cpu_s = peer.cpu_s() - used_s
        peer.require_alive()
        try:
            return replace(parse_report(output, may_hang=may_hang), cpu_s=cpu_s)
        except LoadError as error:
            where = f"{peer.name}, {work.name}, {connections} connections"
            log = f"its log ends with: {peer.log_tail()}"
            raise LoadError(f"{where}: {error}\n{errors}\n{log}") from error

    @contextmanager
    def running(
        self, peer: Peer, work: Workload, connections: int, seconds: float, *, keeps: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        """Run it beside something else; it is killed in the end."""
        argv = self._argv(peer.port, work, connections, seconds)
        pipe = subprocess.PIPE
        with nullcontext() if keeps else _stored_files_removed(peer, work):
            process = subprocess.Popen(
                argv, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment()
            )
            with process:
                try:
                    yield process
                finally:
                    process.kill()

    def _argv(self, port: int, work: Workload, connections: int, seconds: float) -> list[str]:
        if work.method == "GET" and work.size >= MIB:
            module = [sys.executable, "-m", "bench.load.large_get_client"]
            what = (work.size, work.first_fid, work.files)
            return [*module, *map(str, (port, *what, connections, seconds))]
        threads = min(self.threads, connections)
        options = ["-t", threads, "-c", connections, "-d", f"{math.ceil(seconds)}s", "--latency"]
        options += ["--timeout", "60s", "-s", _SCRIPT, f"http://127.0.0.1:{port}/", "--"]
        options += [work.method, work.size, *work.devices]
        if work.method == "GET":
            options += [work.first_fid, work.files, 0]
        elif work.is_again:
            options += [work.first_fid, 1, work.files // threads]
        else:
            step = _FIDS_OF_A_DIRECTORY // work.files
            options += [next(_RUNS), step, _RUN_FIDS // threads]
        return [self.binary, *map(str, options)]


def spare_threads() -> int:
    """How many threads of wrk to use: one core stays the server's, and two are always enough."""
    return max(1, min(2, (os.cpu_count() or 1) - 1))


def parse_report(text: str, *, may_hang: bool = False) -> Sample:
    """Read the line `bench name=number ...` that every client prints.

    Raises: LoadError if there is none, if anything failed, or if nothing was completed; with
    `may_hang` time-outs and no answer at all are results.
    """
    lines = [line for line in text.splitlines() if line.startswith("bench ")]
    if len(lines) != 1:
        raise LoadError(f"no report: {text}")
    values = {key: int(value) for key, value in (word.split("=") for word in lines[0].split()[1:])}
    counted = [name for name in _ERRORS if not (may_hang and name == "timeout")]
    if failed := [f"{values[name]} {name}" for name in counted if values[name]]:
        raise LoadError(f"errors during the run ({', '.join(failed)}): {text}")
    if not values["requests"] and not may_hang:
        raise LoadError(f"no request was completed: {text}")
    p50, p99, longest = (
        values[f"{name}_us"] / 1e6 if values["requests"] else math.inf
        for name in ("p50", "p99", "max")
    )
    duration_s = values["duration_us"] / 1e6
    return Sample(values["requests"], duration_s, p99, p50_s=p50, max_s=longest)


@contextmanager
def _stored_files_removed(peer: Peer, work: Workload) -> Iterator[None]:
    """Keep what a load stores under ever new names from filling the disk.

    During the run the files go of directories that the load has left, so that no removal competes
    with the server for a directory.
    """
    if work.method != "PUT":
        yield
        return
    ended = threading.Event()
    device = peer.docroot / "dev1"

    def clean() -> None:
        while not ended.wait(_CLEAN_EACH_S):
            for directory in device.glob("[1-9]/*/*"):
                if time.time() - directory.stat().st_mtime > _UNUSED_S:
                    for file in directory.glob("*.fid"):
                        file.unlink(missing_ok=True)

    cleaner = threading.Thread(target=clean, daemon=True)
    cleaner.start()
    try:
        yield
    finally:
        ended.set()
        cleaner.join()
        wait_for(lambda: _remove_all(device), f"{peer.name} stores nothing more")


def _remove_all(device: Path) -> bool:
    """Remove what was stored; False while requests that wrk has left behind still store."""
    for directory in device.glob("[1-9]"):
        shutil.rmtree(directory, ignore_errors=True)
    return not any(device.glob("[1-9]"))
