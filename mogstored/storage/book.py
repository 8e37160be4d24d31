"""What is known of a docroot's devices: which there are, how full, and on which disk.

All that is asked for while clients are served is answered from memory. The only exception
is a record that a client's change made wrong: it is measured again when somebody asks.
That takes a moment at most: while a device hangs, everybody gets the old record.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from types import MappingProxyType

from mogpoll.stopping import signals_blocked
from mogstored.storage.device import device_name, device_number
from mogstored.storage.docroot import Docroot
from mogstored.storage.mounts import Mounts, Origin, open_mounts
from mogstored.storage.usage import UsageRecord, measure, printable_source
from mogstored.storage.usage_file import is_unwanted, write_usage

_log = logging.getLogger("mogstored")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not the device's fault, and it has not gone away.
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

# How long a caller waits for a new record before it gets the old one. Trackers give up a
# host that takes half a second.
_ANSWER_S = 0.2

# Makes room for a descriptor; False when it could not.
Relieve = Callable[[], bool]


class MountGuard:
    """Tells devices that are mounted from directories that wait for a mount.

    **Threads:** any.
    """

    def __init__(self, docroot: Docroot) -> None:
        self._docroot = docroot
        self.st_dev = os.fstat(docroot.fileno()).st_dev

    def is_unmounted(self, devid: int) -> bool:
        """Say whether `devN` lies on the docroot's own file system now.

        One system call on the device: enter it first. A device that does not answer, or is
        not there, counts as mounted: what is tried next will tell.
        """
        try:
            found = os.stat(b"dev%d" % devid, dir_fd=self._docroot.fileno())
        except OSError:
            return False
        return found.st_dev == self.st_dev


class _Entry:
    """One device. `measuring` is held by whoever asks its file system for numbers."""

    __slots__ = ("complaint", "devid", "dirty", "measuring", "name", "origin", "record", "seen")

    def __init__(self, devid: int) -> None:
        self.devid = devid
        self.name = b"dev%d" % devid
        self.measuring = threading.Lock()
        self.dirty = False
        self.record: UsageRecord
        self.origin = Origin()
        # Where the origin was looked up: device number and state of the list of mounts.
        self.seen: tuple[int, int] | None = None
        # Why the last usage file could not be written.
        self.complaint: int | None = None


class DeviceBook:
    """The devices of one docroot, as of the last look.

    `learn` is told the name of each device that is found. With `require_mount`, those on
    the docroot's own file system do not count.

    **Threads:** any. `_entries` is replaced as a whole under `_lock`, and so read without.
    `refresh` runs for one device at a time once; that is for the caller to see to.
    """

    def __init__(
        self,
        docroot: Docroot,
        *,
        require_mount: bool = False,
        learn: Callable[[bytes], None] = lambda _name: None,
        mounts: Mounts | None = None,
    ) -> None:
        self._docroot = docroot
        self._guard = MountGuard(docroot)
        self._require_mount = require_mount
        self._learn = learn
        self._mounts = mounts or open_mounts()
        self._lock = threading.Lock()
        self._entries: MappingProxyType[int, _Entry] = MappingProxyType({})
        self._unmounted: set[int] = set()
        self._stuck: frozenset[int] = frozenset()
        self._rescan: Callable[[float], None] = self._scan_here

    def __repr__(self) -> str:
        return f"<devices of {self._docroot.path}>"

    def devids(self) -> list[int]:
        """Return the numbers of all devices, ascending."""
        return sorted(self._entries)

    def record(self, devid: int) -> UsageRecord | None:
        """Return how full the device is, or None when it is not known.

        Needs no slot of the device, and returns soon even if it hangs.
        """
        entry = self._entries.get(devid)
        if entry is None:
            return None
        if entry.dirty:
            self._measure_again(entry)
        return entry.record

    def record_at(self, path: bytes) -> UsageRecord | None:
        """Return the record behind the path `devN/usage`; None for every other path.

        **Raises:** `TimeoutError` when the device has not answered for some seconds, at
        once. A tracker that is given the old record goes on sending files to the device;
        one that is made to wait gives up the whole host.
        """
        name, slash, rest = path.partition(b"/")
        if not slash or rest != b"usage":
            return None
        devid = device_number(name)
        if devid is None:
            return None
        if self.is_stuck(devid):
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return self.record(devid)

    def mark_dirty(self, path: bytes) -> None:
        """Note that something was stored or removed at `path`."""
        devid = device_number(device_name(path))
        entry = None if devid is None else self._entries.get(devid)
        if entry is not None:
            entry.dirty = True

    def disk_names(self, devid: int) -> tuple[str, ...]:
        """Return the names under which reports may list the device's disk, the best first."""
        entry = self._entries.get(devid)
        return entry.origin.disks if entry is not None else ()

    def is_unmounted(self, devid: int) -> bool:
        """Say whether `devN` is to be refused for lying on the docroot's file system.

        False at once unless `require_mount` is on; else see `MountGuard`.
        """
        return self._require_mount and self._guard.is_unmounted(devid)

    def is_stuck(self, devid: int) -> bool:
        """Say whether the device has not answered for some seconds; from memory."""
        return devid in self._stuck

    def rescan(self, timeout_s: float = 2.0) -> None:
        """Look for devices and measure all of them now.

        Returns when that is done, or when the time is over.
        """
        self._rescan(timeout_s)

    # For the refresher.

    def refresh_with(self, rescan: Callable[[float], None]) -> None:
        """Leave rescans to `rescan`, which runs them on its own threads."""
        self._rescan = rescan

    def scan(self, relieve: Relieve | None = None) -> list[int]:
        """List the docroot and drop the devices that are gone; return those to refresh.

        **Raises:** `OSError` when the docroot cannot be read.
        """
        self._mounts.reread()
        # A descriptor of its own: two threads that list by the same one share its offset.
        fd = _open_directory(b".", self._docroot.fileno(), relieve)
        try:
            numbers = [device_number(os.fsencode(name)) for name in os.listdir(fd)]
        finally:
            os.close(fd)
        found = [devid for devid in numbers if devid is not None]
        for devid in self._entries.keys() - set(found):
            self._drop(devid)
        return sorted(found)

    def refresh(self, devid: int, *, write: bool, relieve: Relieve | None = None) -> None:
        """Measure one device, and write its usage file if it should have one."""
        entry = self._entries.get(devid) or _Entry(devid)
        try:
            with entry.measuring:
                fd = self._measure(entry, relieve)
        except OSError as error:
            if error.errno in OUT_OF_DESCRIPTORS:
                _log.error("cannot look at %s: %s", self._path(devid), error.strerror)
            else:
                self._drop(devid)
            return
        try:
            self._keep(entry)
            if write and not is_unwanted(fd):
                self._write(entry, fd, relieve)
        finally:
            os.close(fd)

    def note_stuck(self, devid: int, stuck: bool) -> None:
        """Remember whether the device answers."""
        with self._lock:
            self._stuck = self._stuck | {devid} if stuck else self._stuck - {devid}

    def _scan_here(self, _timeout_s: float) -> None:
        for devid in self.scan():
            self.refresh(devid, write=False)

    def _measure_again(self, entry: _Entry) -> None:
        """Measure on a thread of its own, and wait for it as long as a client may."""
        if entry.devid in self._stuck or not entry.measuring.acquire(blocking=False):
            return
        measured = threading.Event()
        thread = threading.Thread(
            target=self._measure_apart, args=(entry, measured), name="measure", daemon=True
        )
        try:
            with signals_blocked():
                thread.start()
        except RuntimeError:
            # No thread can be had now. The old record will do, and the lock must not stay.
            entry.measuring.release()
            return
        measured.wait(_ANSWER_S)

    def _measure_apart(self, entry: _Entry, measured: threading.Event) -> None:
        try:
            os.close(self._measure(entry, None))
        except OSError:
            # The next round will see what has become of it.
            entry.dirty = True
        finally:
            entry.measuring.release()
            measured.set()

    def _measure(self, entry: _Entry, relieve: Relieve | None) -> int:
        """Fill the entry anew; return the device's directory, open.

        The dot at the end asks for the permission to search: administrators take it from
        the directories that wait for a mount.
        """
        fd = _open_directory(entry.name + b"/.", self._docroot.fileno(), relieve)
        try:
            entry.dirty = False
            found = os.fstat(fd)
            fill = measure(os.fstatvfs(fd))
            if not found.st_mode & 0o111:
                # Root may search it all the same, but this is not what it is there for.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if self._require_mount and self._is_left_out(entry.devid, found.st_dev):
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            self._locate(entry, found.st_dev)
        except BaseException:
            os.close(fd)
            raise
        source = printable_source(entry.origin.source)
        path = self._path(entry.devid)
        entry.record = UsageRecord(entry.devid, int(time.time()), fill, source, path)
        return fd

    def _locate(self, entry: _Entry, st_dev: int) -> None:
        seen = (st_dev, self._mounts.generation)
        if entry.seen == seen:
            return
        if entry.seen is None or entry.seen[0] != st_dev:
            # It may have been mounted since the list was read.
            self._mounts.reread()
            seen = (st_dev, self._mounts.generation)
        path = os.path.realpath(self._path(entry.devid))
        entry.origin = self._mounts.locate(path, st_dev)
        entry.seen = seen

    def _write(self, entry: _Entry, fd: int, relieve: Relieve | None) -> None:
        text, mode = entry.record.text(), self._docroot.file_mode
        try:
            try:
                write_usage(fd, text, mode)
            except OSError as error:
                if error.errno not in OUT_OF_DESCRIPTORS or relieve is None:
                    raise
                relieve()
                write_usage(fd, text, mode)
        except OSError as error:
            if error.errno != entry.complaint:
                path = self._path(entry.devid)
                _log.error("cannot write %s/usage: %s", path, error.strerror)
            entry.complaint = error.errno
        else:
            entry.complaint = None

    def _is_left_out(self, devid: int, st_dev: int) -> bool:
        """Say whether the device is not mounted, and say so once in the log."""
        unmounted = st_dev == self._guard.st_dev
        with self._lock:
            news = unmounted != (devid in self._unmounted)
            (self._unmounted.add if unmounted else self._unmounted.discard)(devid)
        if news and unmounted:
            _log.warning("%s is not mounted, and left out", self._path(devid))
        elif news:
            _log.info("%s is mounted now", self._path(devid))
        return unmounted

    def _keep(self, entry: _Entry) -> None:
        if self._entries.get(entry.devid) is entry:
            return
        with self._lock:
            self._entries = MappingProxyType({**self._entries, entry.devid: entry})
        self._learn(entry.name)

    def _drop(self, devid: int) -> None:
        with self._lock:
            if devid in self._entries:
                kept = {**self._entries}
                del kept[devid]
                self._entries = MappingProxyType(kept)

    def _path(self, devid: int) -> str:
        return f"{self._docroot.path.rstrip('/')}/dev{devid}"


def _open_directory(name: bytes, dir_fd: int, relieve: Relieve | None) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in OUT_OF_DESCRIPTORS or relieve is None:
            raise
    relieve()
    return os.open(name, _DIRECTORY, dir_fd=dir_fd)
