"""Mounts and disks of Linux: /proc/self/mountinfo, /sys/dev/block (n44).

A file system on a block device has that device's number as `st_dev`, and sysfs lists the
number: no list of mounts is needed to find the disk. Others (btrfs, overlay, ZFS, the network)
have made-up numbers with major 0. btrfs gives each subvolume a number that is in no list at
all, so there the mount is found by its path. Its source may be a block device again.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator

from mogstored.devices.mounts.table import Mount, MountTable, Origin, last_names

_ESCAPE = re.compile(rb"\\([0-7]{3})")


class LinuxMounts:
    """See `mogstored.devices.mounts.table.Mounts`.

    **Threads:** `_state` is read whole, and replaced under `_lock`, so that no two lists have
    one generation.
    """

    def __init__(
        self, mountinfo: str = "/proc/self/mountinfo", sys_block: str = "/sys/dev/block"
    ) -> None:
        self._mountinfo = mountinfo
        self._sys_block = sys_block
        # Text, table and generation; replaced as a whole.
        self._state = (b"", MountTable(()), 0)
        self._lock = threading.Lock()
        self.reread()

    def reread(self) -> None:
        try:
            with open(self._mountinfo, "rb") as file:
                text = file.read()
        except OSError:
            # /proc may be missing or hidden; the last list is better than none.
            return
        with self._lock:
            known, _, generation = self._state
            if text != known:
                self._state = (text, MountTable(parse_mountinfo(text)), generation + 1)

    @property
    def generation(self) -> int:
        return self._state[2]

    def locate(self, path: str, st_dev: int) -> Origin:
        table = self._state[1]
        mount = table.of_device(st_dev, path) or table.above(path)
        source = mount.source if mount is not None else ""
        number = st_dev if os.major(st_dev) else _block_device(source)
        disks = self._disks(number) if number else ()
        return Origin(_resolve(source, disks), tuple(dict.fromkeys(disks + last_names(source))))

    def _disks(self, number: int) -> tuple[str, ...]:
        """Return the kernel's names of the block device: partition, disk, device-mapper."""
        link = f"{self._sys_block}/{os.major(number)}:{os.minor(number)}"
        directory = os.path.realpath(link)
        if directory == link:
            return ()
        names = [_kernel_name(directory)]
        if os.path.exists(f"{directory}/partition"):
            names.append(_kernel_name(os.path.dirname(directory)))
        try:
            with open(f"{directory}/dm/name", encoding="utf-8") as file:
                names.append(file.read().strip())
        except OSError:
            # Not of the device mapper.
            pass
        return tuple(names)


def parse_mountinfo(text: bytes) -> Iterator[Mount]:
    """Parse /proc/self/mountinfo: blanks in fields are escaped, and fields may be empty."""
    for line in text.splitlines():
        place, _, origin = line.partition(b" - ")
        try:
            _, _, number, _, point = place.split(b" ")[:5]
            _, source = origin.split(b" ")[:2]
            major, minor = map(int, number.split(b":"))
        except ValueError:
            continue
        yield Mount(_unescape(point), _unescape(source), os.makedev(major, minor))


def _unescape(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field))


def _kernel_name(directory: str) -> str:
    # sysfs cannot have slashes in names: cciss/c0d0 is cciss!c0d0 there.
    return os.path.basename(directory).replace("!", "/")


def _block_device(source: str) -> int | None:
    """Return the number of the block device `source`, if it is one."""
    if not source.startswith("/"):
        return None
    try:
        found = os.stat(source)
    except OSError:
        return None
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else None


def _resolve(source: str, disks: tuple[str, ...]) -> str:
    """Follow the links of a source below /dev; fall back to the kernel's name for it.

    A root file system may claim to come from /dev/root, which does not exist.
    """
    if source.startswith("/dev/"):
        resolved = os.path.realpath(source)
        if not disks or os.path.exists(resolved):
            return resolved
    if disks and (not source or source == "rootfs" or source.startswith("/dev/")):
        return f"/dev/{disks[0]}"
    return source
