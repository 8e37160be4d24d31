"""Where things lie on this host: downloads, what belongs to a machine, what came out of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vm.errors import VMError

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent


def cache() -> Path:
    """Return the directory for all that can be made again; MOG_VM_CACHE moves it."""
    return Path(os.environ.get("MOG_VM_CACHE") or ROOT / ".cache" / "vm").absolute()


def results(name: str) -> Path:
    """Return the directory for a machine's results; MOG_VM_RESULTS moves them all."""
    return Path(os.environ.get("MOG_VM_RESULTS") or HERE / "results").absolute() / name


def require_space(directory: Path, needed: int, what: str) -> None:
    """Raises: VMError when the file system below the directory has less room than needed."""
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise VMError(
            f"no room for {what}: {needed >> 20} MiB needed, {free >> 20} MiB free in {directory}",
            "Make room there, or name another directory in MOG_VM_CACHE.",
        )


def require_tool(tool: str, package: str) -> str:
    """Find a program. Raises: VMError saying which package has it."""
    found = shutil.which(tool)
    if found is None:
        raise VMError(
            f"{tool} is not installed",
            f"On Debian: apt-get install {package}; docs/vm.md has the list for other systems.",
        )
    return found
