"""What is known of a docroot's devices: which there are, how full, and on which disk.

Clients are answered from memory. The only exception is a record that is old, or that a stored
or removed file made wrong: it is measured again when a client asks. That takes a moment at
most: while the device does not answer, the old record is given, until the device counts as
hung (`mogstored.devices.health`).
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TypeVar

from mogpoll.threads import try_start_thread
from mogstored.devices.device import Device, Devices, Usage
from mogstored.devices.health import HANGING_S
from mogstored.devices.mounts import open_mounts
from mogstored.devices.mounts.guard import MountGuard
from mogstored.devices.mounts.table import Mounts
from mogstored.devices.usage import UsageRecord, measure, printable_source
from mogstored.devices.usage_file import is_unwanted, write_usage
from mogstored.files.disk_errors import DeviceDown
from mogstored.files.docroot import Docroot, close_read
from mogstored.files.names import device_number
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

_T = TypeVar("_T")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Neither the device's fault, nor its end.
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
_SHORTAGE = _OUT_OF_DESCRIPTORS | {errno.ENOMEM}
# No device is there, but at most a name for one.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

# How long a caller waits for a new record before it gets the old one. Trackers give up a
# host that takes half a second.
_ANSWER_S = 0.2
# A record that is older is measured again when a client asks: so a device without any other
# request is found to hang as soon as trackers ask about it.
_FRESH_S = HANGING_S

# Between two looks at a device that is nearly full.
_SOON_S = 0.1

# Makes room for a descriptor; False when it could not.
Relieve = Callable[[], bool]


class DeviceInventory:
    """The devices of one docroot, as of the last look.

    With `require_mount`, those on the docroot's own file system do not count.

    **Threads:** any. `refresh` runs for one device at a time once; the caller sees to that.
    """

    def __init__(
        self,
        docroot: Docroot,
        devices: Devices,
        *,
        require_mount: bool = False,
        mounts: Mounts | None = None,
    ) -> None:
        self._docroot = docroot
        self._devices = devices
        self._guard = MountGuard(docroot) if require_mount else None
        self._mounts = mounts or open_mounts()
        self._rescan: Callable[[float], None] = self._scan_here

    def __str__(self) -> str:
        return self._docroot.path

    def devids(self) -> list[int]:
        """Return the numbers of all devices, ascending."""
        return [devid for device in self.present() if (devid := device.devid) is not None]

    def record(self, devid: int) -> UsageRecord | None:
        """Return how full the device is, or None when it is not known.

        Needs no slot of the device, and returns soon even if it hangs.
        """
        device = self._devices.find(b"dev%d" % devid)
        return None if device is None else self._record_of(device)

    def record_at(self, path: bytes) -> UsageRecord | None:
        """Return the record behind the path `devN/usage`; None for every other path.

        **Raises:** `DeviceDown` for one that is down, `TimeoutError` while the device hangs, and
        the `OSError` of the last look while it fails, at once. A tracker with the old record would
        go on sending files to the device; a tracker that has to wait gives up the whole host.
        """
        name, slash, rest = path.partition(b"/")
        if not slash or rest != b"usage":
            return None
        device = self._devices.find(name)
        if device is None:
            return None
        if device.is_down:
            raise DeviceDown
        if device.health.hangs():
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        record = self._record_of(device)
        error = device.health.error
        if error is not None:
            raise OSError(error, os.strerror(error))
        return record

    def look_soon(self, device: Device) -> None:
        """Have the device measured now, unless the last time was a moment ago. Does not wait."""
        usage = device.usage
        if monotonic() - usage.looked_at >= _SOON_S:
            self._begin_measuring(device, usage)

    def disk_names(self, devid: int) -> tuple[str, ...]:
        """Return the names under which reports may list the device's disk, the best first."""
        device = self._devices.find(b"dev%d" % devid)
        return () if device is None else device.usage.origin.disks

    def rescan(self, timeout_s: float = 2.0) -> None:
        """Look for devices and measure all of them now; return when done, or out of time."""
        self._rescan(timeout_s)

    # For the refresher.

    def refresh_with(self, rescan: Callable[[float], None]) -> None:
        """Leave rescans to `rescan`, which runs them on its own threads."""
        self._rescan = rescan

    def scan(self, relieve: Relieve | None = None) -> list[Device]:
        """List the docroot and drop the devices that are gone; return those to refresh.

        **Raises:** `OSError` when the docroot cannot be read.
        """
        self._mounts.reread()
        names = set(_retry_after_relief(self._docroot.names, relieve))
        for name in names:
            if device_number(name) is not None:
                self._devices.register(name)
        found = []
        for device in self._devices.known():
            device.health.is_removed = device.name not in names
            if device.health.is_removed:
                _drop(device)
            else:
                found.append(device)
        return found

    def present(self) -> list[Device]:
        """Return the devices with a record that may be touched, by number."""
        return [
            each
            for each in self._devices.known()
            if each.usage.record is not None and not each.is_down
        ]

    def refresh(self, device: Device, *, write: bool, relieve: Relieve | None = None) -> None:
        """Measure a device that is not down, and write its usage file if it should have one."""
        if device.is_down:
            return
        usage = device.usage
        with usage.measuring, device.health.look():
            fd = self._try_to_measure(device, usage, relieve)
            if fd is None:
                return
            try:
                if write:
                    self._write(device, usage, fd, relieve)
            finally:
                close_read(fd)

    def _scan_here(self, _timeout_s: float) -> None:
        for device in self.scan():
            self.refresh(device, write=False)

    def _record_of(self, device: Device) -> UsageRecord | None:
        usage = device.usage
        if usage.record is None:
            return None
        if usage.is_dirty or monotonic() - usage.looked_at >= _FRESH_S:
            self._measure_again(device, usage)
        return _as_it_is_used(device)

    def _measure_again(self, device: Device, usage: Usage) -> None:
        """Measure on a thread of its own, and wait for it as long as a client may."""
        measured = self._begin_measuring(device, usage)
        if measured is not None:
            measured.wait(_ANSWER_S)

    def _begin_measuring(self, device: Device, usage: Usage) -> threading.Event | None:
        """Return what is set in the end; None if it is under way, or there is no thread for it."""
        if device.is_down or not usage.measuring.acquire(blocking=False):
            return None
        measured = threading.Event()
        measure_apart = partial(self._measure_apart, device, usage, measured)
        if try_start_thread(measure_apart, "measure") is None:
            # The old record will do, and the lock must not stay.
            usage.measuring.release()
            return None
        return measured

    def _measure_apart(self, device: Device, usage: Usage, measured: threading.Event) -> None:
        try:
            with device.health.look():
                fd = self._try_to_measure(device, usage, None)
                if fd is not None:
                    close_read(fd)
        finally:
            usage.measuring.release()
            measured.set()

    def _try_to_measure(self, device: Device, usage: Usage, relieve: Relieve | None) -> int | None:
        """Measure, and note whether the device answers; return its directory, None if not."""
        try:
            fd = self._measure(device, usage, relieve)
        except OSError as error:
            usage.is_dirty = True
            _note_failure(device, error)
            return None
        device.health.error, device.health.is_absent = None, False
        return fd

    def _measure(self, device: Device, usage: Usage, relieve: Relieve | None) -> int:
        """Fill `usage` anew; return the device's directory, open.

        The dot at the end asks for the permission to search: administrators take it from
        the directories that wait for a mount.
        """
        usage.looked_at = monotonic()
        name, dir_fd = device.name + b"/.", self._docroot.fileno()
        fd = _retry_after_relief(partial(os.open, name, _DIRECTORY, dir_fd=dir_fd), relieve)
        try:
            usage.is_dirty = False
            found = os.fstat(fd)
            stored = usage.space.begin_look()
            space = os.fstatvfs(fd)
            if not found.st_mode & 0o111:
                # Root may search it all the same, but it is not there for that.
                raise PermissionError(errno.EACCES, "not searchable")
            health = device.health
            health.is_unmounted = self._guard is not None and found.st_dev == self._guard.st_dev
            if health.is_unmounted:
                raise PermissionError(errno.EACCES, "not mounted")
            health.note_mount(is_read_only=bool(space.f_flag & os.ST_RDONLY))
            self._locate(device, usage, found.st_dev)
        except BaseException:
            close_read(fd)
            raise
        assert device.devid is not None
        source = printable_source(usage.origin.source)
        fill = measure(space)
        usage.space.end_look(fill.available_kib * 1024, fill.total_kib * 1024, stored)
        usage.record = UsageRecord(device.devid, int(time.time()), fill, source, device.path)
        return fd

    def _locate(self, device: Device, usage: Usage, st_dev: int) -> None:
        found_at = (st_dev, self._mounts.generation)
        if usage.located_at == found_at:
            return
        if usage.located_at is None or usage.located_at[0] != st_dev:
            # It may have been mounted since the list was read.
            self._mounts.reread()
            found_at = (st_dev, self._mounts.generation)
        usage.origin = self._mounts.locate(os.path.realpath(device.path), st_dev)
        usage.located_at = found_at

    def _write(self, device: Device, usage: Usage, fd: int, relieve: Relieve | None) -> None:
        record = _as_it_is_used(device)
        assert record is not None
        text, mode = record.text(), self._docroot.file_mode
        try:
            if is_unwanted(fd):
                return
            try:
                write_usage(fd, text, mode)
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS or relieve is None:
                    raise
                relieve()
                write_usage(fd, text, mode)
        except OSError as error:
            if error.errno == errno.EROFS:
                # The state of the device says so.
                device.health.note_refusal()
            elif error.errno != usage.complaint:
                _log.error("cannot write %s/usage: %s", device, reason(error))
            usage.complaint = error.errno
        else:
            usage.complaint = None
            if device.health.refuses_changes:
                device.health.note_change()


def _as_it_is_used(device: Device) -> UsageRecord | None:
    """Return the record for trackers: full, if the device is to get no files."""
    record = device.usage.record
    return record if record is None or device.takes_files else record.as_full()


def _drop(device: Device) -> None:
    """Forget what was measured; a look that goes on has a lock and a record of its own."""
    device.usage = Usage()


def _note_failure(device: Device, error: OSError) -> None:
    """Keep a device of which nothing can be seen now; drop one that is not there."""
    health = device.health
    number = error.errno or errno.EIO
    if number in _SHORTAGE:
        _log.error("cannot look at %s: %s", device, reason(error))
        return
    health.is_absent = number in _ABSENT
    health.error = None if health.is_absent else number
    if health.is_absent or number == errno.EACCES:
        _drop(device)


def _retry_after_relief(call: Callable[[], _T], relieve: Relieve | None) -> _T:
    try:
        return call()
    except OSError as error:
        if error.errno not in _OUT_OF_DESCRIPTORS or relieve is None:
            raise
    relieve()
    return call()
