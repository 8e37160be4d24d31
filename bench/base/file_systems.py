"""File systems made for one run: ext4 and xfs on an image, mounted, and nothing left of them.

One that was used before is no place to measure: ext4 passes over the inodes of files that were
removed a moment ago, so that a new file costs several times as much.
Source: https://github.com/torvalds/linux/blob/v6.1/fs/ext4/ialloc.c (recently_deleted)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.base.cleanup import signals_deferred
from bench.base.machine import Unmeasurable, file_system

_IMAGE_BYTES = 8 * 1024**3
# By default there is an inode for 16 KiB of the image, and files of 1 KiB use them up.
_MKFS = {"ext4": ["mkfs.ext4", "-q", "-F", "-N", "4000000"], "xfs": ["mkfs.xfs", "-q", "-f"]}
# ext4 would write a GiB of inode tables during the run.
_OPTIONS = {"ext4": "loop,noinit_itable", "xfs": "loop"}
TMPFS = "tmpfs"
KINDS = (TMPFS, *_MKFS)

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_BUSY_S = 5.0
_LOOK_S = 0.05


@contextmanager
def fresh(kind: str, parent: Path) -> Iterator[Path]:
    """A directory of a new file system; images lie in `parent`. Raises: Unmeasurable."""
    directory, image = parent / "fresh", parent / f"{kind}.img"
    with ExitStack() as stack:
        # An interrupt in between would leave a mount behind.
        with signals_deferred():
            directory.mkdir()
            stack.callback(shutil.rmtree, directory)
            if kind == TMPFS:
                _require_tmpfs(parent)
            else:
                stack.callback(image.unlink, missing_ok=True)
                _make(kind, image)
                _run("mount", "-t", kind, "-o", _OPTIONS[kind], str(image), str(directory))
                stack.callback(_unmount, directory)
        yield directory


def _require_tmpfs(parent: Path) -> None:
    if (found := file_system(parent)) != TMPFS:
        raise Unmeasurable(f"{parent} is on {found}: name a directory by --docroot-parent")


def _make(kind: str, image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    _run(*_MKFS[kind], str(image))


def _unmount(directory: Path) -> None:
    """Unmount, which frees the loop device; what is still in use is freed when that ends."""
    with signals_deferred():
        deadline = time.monotonic() + _BUSY_S
        while _call("umount", str(directory)).returncode:
            if time.monotonic() > deadline:
                _run("umount", "--lazy", str(directory))
                return
            time.sleep(_LOOK_S)


def _run(*command: str) -> None:
    """Raises: Unmeasurable where this cannot be done."""
    if os.geteuid() != 0 or shutil.which(command[0], path=_PATH) is None:
        raise Unmeasurable(f"needs root and {command[0]}")
    done = _call(*command)
    if done.returncode:
        raise Unmeasurable(f"{' '.join(command)}: {done.stderr.strip()}")


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=os.environ | {"PATH": _PATH},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for us
    )
