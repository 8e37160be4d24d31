"""Paths on this host (downloads, machines, results), with checks of space and of tools."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vm.errors import VMError

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent


def cache() -> Path:
    """Return the directory of everything that can be rebuilt; MOG_VM_CACHE moves it."""
    return Path(os.environ.get("MOG_VM_CACHE") or ROOT / ".cache" / "vm").absolute()


def results(name: str) -> Path:
    """Return the directory for a machine's results; MOG_VM_RESULTS moves them all."""
    return Path(os.environ.get("MOG_VM_RESULTS") or HERE / "results").absolute() / name


def require_space(directory: Path, needed: int, what: str) -> None:
    """Create the directory. Raises: VMError when its file system has too little space."""
    directory.mkdir(parents=True, exist_ok=True)
    check_space(directory, needed, what)


def check_space(directory: Path, needed: int, what: str) -> None:
    """Raises: VMError when the file system of the directory, or of its place, is too full."""
    there = next(place for place in (directory, *directory.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise VMError(
            f"no space for {what}: {needed >> 20} MiB needed, {free >> 20} MiB free "
            f"in {directory}",
            "Free some space there, or name another directory in MOG_VM_CACHE.",
        )


def require_tool(tool: str, package: str) -> str:
    """Find a program. Raises: VMError naming the package that has it."""
    found = shutil.which(tool)
    if found is None:
        raise VMError(
            f"{tool} is not installed",
            f"On Debian: apt-get install {package}; docs/vm.md has the list for other systems.",
        )
    return found
