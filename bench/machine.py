"""What must be known of the machine to judge the figures: the lines above the table."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from bench.peers import child_environment
from bench.tools import Tools, first_line

_MEMORY_DISK = Path("/dev/shm")
_ABOUT_PYTHON = (
    "import importlib.metadata as m, os, platform, sys, mogstored as p\n"
    "try: v = m.version('mogstored')\n"
    "except m.PackageNotFoundError: v = 'not installed'\n"
    "gil = getattr(sys, '_is_gil_enabled', lambda: True)()\n"
    "print(platform.python_implementation(), platform.python_version(),"
    " '' if gil else 'free-threaded', '| mogstored', v, 'in', os.path.dirname(p.__file__))"
)


class PlaceUnfit(Exception):
    """The docroots cannot be where they were wanted, or the node cannot be started there."""


def default_docroot_parent(space_bytes: int) -> Path:
    """A file system in memory if there is one with room: it keeps the noise of disks out."""
    usable = _MEMORY_DISK.is_dir() and os.access(_MEMORY_DISK, os.W_OK)
    if usable and file_system(_MEMORY_DISK) == "tmpfs" and free_bytes(_MEMORY_DISK) > space_bytes:
        return _MEMORY_DISK
    return Path(tempfile.gettempdir())


def free_bytes(place: Path) -> int:
    state = os.statvfs(place)
    return state.f_bavail * state.f_frsize


def file_system(place: Path) -> str:
    """The type of the file system that holds a directory."""
    real = place.resolve()
    best, found = -1, "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = Path(left.split()[4].replace("\\040", " "))
        if real.is_relative_to(mount) and len(mount.parts) >= best:
            best, found = len(mount.parts), right.split()[0]
    return found


def about_node(python: str, place: Path) -> str:
    """Which Python and which mogstored will be measured. Raises: PlaceUnfit."""
    done = subprocess.run(
        [python, "-c", _ABOUT_PYTHON],
        cwd=place,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PlaceUnfit(
            f"{python} cannot import mogstored: install it first (`{python} -m pip install .`)\n"
            f"{done.stderr}"
        )
    return " ".join(done.stdout.split())


def describe(tools: Tools, place: Path, method: str, node: str) -> str:
    """The header of a comparison."""
    return format_facts(facts_of_comparison(tools, place, method, node))


def facts_of_comparison(tools: Tools, place: Path, method: str, node: str) -> dict[str, str]:
    """What the header of every measurement beside nginx says."""
    return {
        **facts_about(place, node),
        "nginx": first_line(tools.nginx, "-v").removeprefix("nginx version: "),
        "load by": first_line(tools.wrk, "-v").partition(" Copyright")[0],
        "method": method,
    }


def facts_about(place: Path, node: str) -> dict[str, str]:
    """What every header of a node's measurement says."""
    kind = file_system(place)
    noise = (
        "in memory: no disk noise" if kind == "tmpfs" else "a disk: its noise is in the figures"
    )
    return {**facts(), "docroots": f"{place.parent}, {kind} ({noise})", "node": node}


def facts() -> dict[str, str]:
    """What every header says, whatever is measured, on every system."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{os.cpu_count()} x {_cpu_model()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def format_facts(known: Mapping[str, str]) -> str:
    return "\n".join(f"{name + ':':<13}{value}" for name, value in known.items())


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        lines = []  # not Linux
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.processor() or "unknown"
