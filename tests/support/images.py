"""File systems of several kinds in image files, mounted where that is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MIB = 1 << 20
# The smallest size of each kind, and its mkfs; the files are sparse.
_KINDS = {
    "ext4": (32 * _MIB, ["mkfs.ext4", "-q", "-F"]),
    "xfs": (320 * _MIB, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (128 * _MIB, ["mkfs.btrfs", "-q", "-f"]),
}
# Administrators' tools are not on every user's path.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@contextmanager
def mounted_image(kind: str, directory: Path, image: Path) -> Iterator[None]:
    """Make a file system of `kind` in the file `image`, and mount it on `directory`."""
    size_bytes, command = _KINDS[kind]
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    for tool in (command[0], "mount", "losetup"):
        if shutil.which(tool, path=_PATH) is None:
            pytest.skip(f"there is no {tool}")
    with open(image, "wb") as file:
        file.truncate(size_bytes)
    run(*command, str(image))
    with mounted(directory, "-t", kind, "-o", "loop", str(image)):
        yield


@contextmanager
def mounted(directory: Path, *arguments: str) -> Iterator[None]:
    """Mount something on `directory`; skip where that is refused."""
    done = run("mount", *arguments, str(directory), check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount {' '.join(arguments)}: {done.stderr.strip()}")
    try:
        yield
    finally:
        try:
            # A thread that a stop has given up closes its file a moment later.
            wait_until(
                lambda: not run("umount", str(directory), check=False).returncode,
                f"{directory} is in use no more",
            )
        except AssertionError:
            run("umount", "-l", str(directory))
            raise


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run an administrator's tool with messages in English."""
    env = {**os.environ, "PATH": _PATH, "LC_ALL": "C"}
    return subprocess.run(command, check=check, capture_output=True, text=True, env=env)
