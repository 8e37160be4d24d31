"""The machine: its facts above every table, room for the docroots, the limit of open files."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
from datetime import datetime
from pathlib import Path

import psutil

_MEMORY_DISK = Path("/dev/shm")
_SPARE_DESCRIPTORS = 200


class Unmeasurable(Exception):
    """This machine lacks what a measurement needs; the text says what, and what to do."""


def require_files(wanted: int) -> None:
    """Raise the limit of open files of this process and its children. Raises: Unmeasurable."""
    wanted += _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        limit = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limit))
    except (ValueError, PermissionError) as error:
        raise Unmeasurable(
            f"{wanted} open files are needed, the limit is {hard}: raise it by `ulimit -n`"
        ) from error


def docroot_parent(space_bytes: int, given: Path | None) -> Path:
    """Where the docroots go: a file system in memory with room keeps the noise of disks out.

    Raises: Unmeasurable when there is less room than `space_bytes`.
    """
    in_memory = _MEMORY_DISK.is_dir() and os.access(_MEMORY_DISK, os.W_OK)
    if given is None and in_memory and free_bytes(_MEMORY_DISK) > space_bytes:
        return _MEMORY_DISK
    parent = given or Path(tempfile.gettempdir())
    if free_bytes(parent) < space_bytes:
        raise Unmeasurable(
            f"{parent} has less than {space_bytes >> 20} MiB free: name another directory by "
            "--docroot-parent"
        )
    return parent


def free_bytes(directory: Path) -> int:
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


def file_system(directory: Path) -> str:
    """The type of the file system that holds a directory."""
    real = directory.resolve()
    mounts = [each for each in psutil.disk_partitions(all=True) if each.mountpoint]
    holding = [each for each in mounts if real.is_relative_to(each.mountpoint)]
    return max(holding, key=lambda each: len(each.mountpoint)).fstype if holding else "unknown"


def facts() -> dict[str, str]:
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{os.cpu_count()} x {_cpu_model()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


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
