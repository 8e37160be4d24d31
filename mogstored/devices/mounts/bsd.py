"""Mounts and disks of FreeBSD and its relatives: by names, through psutil (n44, n45, n47).

The list of mounts has no device numbers, so a directory's mount is the one with the longest
mount point above it. Its source names a disk with a partition's suffix, or a label. Labels are
no links there: GEOM knows the disk of each, and glabel(8) prints it. A ZFS data set is on
several disks or none, and gets no names.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from mogstored.devices.mounts.table import Mount, MountTable, Origin, last_names
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

_GLABEL_TIMEOUT_S = 5.0

# ada0p2, da0s1, da0s1a; but nvme0ns1 is a whole disk, and so is md0.
_PARTITION = re.compile(r"(?P<disk>[a-z]+[0-9]+)(?:p[0-9]+|s[0-9]+[a-h]?|[a-h])")
# The partition of a disk that has a label itself: diskid/DISK-6QG3Z026p1.
_PARTITION_OF_LABEL = re.compile(r"(?P<label>.+/.+?)(?P<part>p[0-9]+|s[0-9]+[a-h]?)")


# Names of disks have no slash there; labels and mirrors have.
_LABEL = re.compile(r"/dev/[^/]+/")


class _State(NamedTuple):
    """What one look found; replaced as a whole."""

    mounts: list[Mount]
    table: MountTable
    labels: Mapping[str, str]
    generation: int


class Partition(Protocol):
    """A mount of psutil, as far as it is needed."""

    @property
    def device(self) -> str: ...
    @property
    def mountpoint(self) -> str: ...


class BSDMounts:
    """See `mogstored.devices.mounts.table.Mounts`.

    **Threads:** `_state` is read whole, and replaced under `_lock`, so that no two lists have
    one generation. glabel runs without the lock.
    """

    def __init__(
        self,
        partitions: Callable[[], Iterable[Partition]] | None = None,
        glabel: Callable[[], str] | None = None,
    ) -> None:
        self._partitions = partitions or _partitions
        self._glabel = glabel or _run_glabel
        self._state = _State([], MountTable(()), {}, 0)
        self._lock = threading.Lock()
        self.reread()

    def reread(self) -> None:
        try:
            mounts = [Mount(found.mountpoint, found.device) for found in self._partitions()]
        except OSError:
            # The last list is better than none.
            return
        if mounts != self._state.mounts:
            labelled = any(_LABEL.match(mount.source) for mount in mounts)
            labels = parse_glabel(self._glabel()) if labelled else {}
            table = MountTable(mounts)
            with self._lock:
                self._state = _State(mounts, table, labels, self._state.generation + 1)

    @property
    def generation(self) -> int:
        return self._state.generation

    def locate(self, path: str, st_dev: int) -> Origin:
        state = self._state
        mount = state.table.above(path)
        if mount is None:
            return Origin()
        source = mount.source
        if not source.startswith("/dev/"):
            return Origin(source)
        provider = source.removeprefix("/dev/")
        names = disk_names(provider, state.labels) + last_names(source)
        return Origin(os.path.realpath(source), tuple(dict.fromkeys(names)))


def disk_names(provider: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of a GEOM provider and of the disk that it is a part of."""
    provider = _behind_label(provider.removesuffix(".eli"), labels).removesuffix(".eli")
    part = _PARTITION.fullmatch(provider)
    return (provider, part["disk"]) if part else (provider,)


def _behind_label(provider: str, labels: Mapping[str, str]) -> str:
    if provider in labels:
        return labels[provider]
    part = _PARTITION_OF_LABEL.fullmatch(provider)
    if part and part["label"] in labels:
        return labels[part["label"]] + part["part"]
    return provider


def parse_glabel(text: str) -> dict[str, str]:
    """Parse `glabel status -s`: per line a label, its status, and what it stands for."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 3}


def _run_glabel() -> str:
    try:
        done = subprocess.run(
            ["glabel", "status", "-s"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GLABEL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"glabel has not answered for {_GLABEL_TIMEOUT_S:g} s"
    except OSError as error:
        why = f"glabel: {reason(error)}"
    else:
        return done.stdout
    _log.warning("cannot look up disk labels: %s", why)
    return ""


def _partitions() -> Iterable[Partition]:
    import psutil

    return psutil.disk_partitions(all=True)
