"""A device: its slots, its health, and how full it is; and the devices of a docroot."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

from mogstored.devices.health import Health
from mogstored.devices.mounts.table import Origin
from mogstored.devices.shares import MOST, SharedSlots, Shares
from mogstored.devices.sickness.standing import WELL, Entry, Standing
from mogstored.devices.sickness.symptoms import NO_LIMITS, ErrorLimits, Symptoms
from mogstored.devices.slots import Resume, Slots
from mogstored.devices.space import Space
from mogstored.devices.usage import UsageRecord
from mogstored.files.disk_errors import Attempt
from mogstored.files.docroot import Docroot
from mogstored.files.names import device_name, device_number
from mogstored.observability.device_errors import DeviceErrors

# Nothing to borrow.
_PLAIN = Shares(MOST, 0, MOST)


class Usage:
    """How full a device is, as of the last look; a device that disappears gets a new one.

    **Threads:** `measuring` is held by the one that asks the file system. The rest is written
    by that one, and read whole by any; `is_dirty` is set by any.
    """

    __slots__ = (
        *("complaint", "is_dirty", "located_at", "looked_at", "measuring", "origin", "record"),
        "space",
    )

    def __init__(self) -> None:
        self.measuring = threading.Lock()
        self.record: UsageRecord | None = None
        """None for a device that is not there, or left out."""
        self.is_dirty = False
        """Whether a file was stored or removed since."""
        self.looked_at = 0.0
        """When the last look began, on the monotonic clock."""
        self.space = Space()
        self.origin = Origin()
        self.located_at: tuple[int, int] | None = None
        """What `origin` was looked up by: st_dev, and the generation of the list of mounts."""
        self.complaint: int | None = None
        """The errno with which the last usage file could not be written."""


class Device(Slots):
    """One device, or all of a docroot that lies on none: then `name` is empty.

    It is its slots, so that the path of a request finds them in one step.
    """

    def __init__(
        self,
        path: str,
        name: bytes,
        shares: Shares,
        shared: SharedSlots,
        resume: Resume,
        limits: ErrorLimits = NO_LIMITS,
    ) -> None:
        super().__init__(shares, shared, resume)
        self.is_down = False
        """Whether its disk is not to be touched, and requests are to be answered with 500."""
        self.takes_files = True
        """Whether uploads may go there; False for one that is down, too."""
        self.entry = WELL
        """Why that is so."""
        self.fell_ill: tuple[Standing, str] | None = None
        """What errors have made of it, until that is on record; `mogstored.devices.ward` looks."""
        self.path = path
        self.name = name
        self.label = name.decode()
        self.devid = device_number(name)
        self.health = Health(path, name.decode())
        self.usage = Usage()
        self.errors = DeviceErrors()
        self._symptoms = Symptoms(limits)

    def note_error(self, attempt: Attempt, error: OSError) -> None:
        """Count an error of a request, and learn from it what the disk can do no more."""
        self.errors.note(attempt.operation, error)
        if error.errno == errno.EROFS:
            self.health.note_refusal()
        if self.name and not self.is_down:
            found = self._symptoms.note(attempt.operation, attempt.path, error)
            if found is not None and (found[0] is Standing.DOWN or self.takes_files):
                self._stand(found[0])
                self.fell_ill = found

    def enter_in(self, entry: Entry) -> None:
        """Use the device as `entry` says from now on."""
        self.entry = entry
        self._symptoms.forget()
        self._stand(entry.standing)

    def note_change(self) -> None:
        """Note that a file was stored or removed."""
        # Threads that write to a shared object wait for each other, even to write the same.
        if not self.usage.is_dirty:
            self.usage.is_dirty = True
        if self.health.refuses_changes:
            self.health.note_change()

    def __str__(self) -> str:
        return self.path

    def _stand(self, standing: Standing) -> None:
        self.is_down = standing is Standing.DOWN
        self.takes_files = standing is Standing.OK
        self.health.standing = standing
        # Its record is another one now.
        self.usage.is_dirty = True


class Devices:
    """The devices of a docroot, by the first component of a path.

    A name is registered when the docroot is listed, or when a file on it was opened: clients
    cannot make up devices. It stays, for its slots may be held. Of several processes, one logs
    what looks at the devices find: that with `logs_looks`.

    **Threads:** any. `_known` is touched by single dict operations; `_shares` is replaced
    as a whole.
    """

    def __init__(
        self,
        docroot: Docroot,
        resume: Resume,
        shares: Shares = _PLAIN,
        shared: SharedSlots | None = None,
        *,
        limits: ErrorLimits = NO_LIMITS,
        logs_looks: bool = True,
    ) -> None:
        self._docroot = docroot
        self._limits = limits
        self._logs_looks = logs_looks
        self._shares = shares
        self._shared = shared or SharedSlots(shares.shared)
        self._resume = resume
        self._elsewhere = self._make(docroot.path, b"")
        self._known: dict[bytes, Device] = {}
        for name in docroot.names():
            self.register(name)

    def of(self, path: bytes) -> Device:
        """Return the device on which `path` lies, or the one that stands for elsewhere."""
        device = self._known.get(path.partition(b"/")[0])
        if device is not None:
            return device
        return self._known.get(device_name(path), self._elsewhere)

    def find(self, name: bytes) -> Device | None:
        """Return the device of exactly that name."""
        return self._known.get(name)

    def register(self, path: bytes) -> None:
        """Register the device of `path`, which exists."""
        name = device_name(path)
        if name not in self._known and device_number(name) is not None:
            device_path = f"{self._docroot.path.rstrip('/')}/{name.decode()}"
            self._known.setdefault(name, self._make(device_path, name))

    def count(self) -> int:
        """Return how many devices are known."""
        return len(self._known)

    def known(self) -> list[Device]:
        """Return all devices, by number."""
        return sorted(self._known.copy().values(), key=lambda device: device.devid or 0)

    def everything(self) -> list[Device]:
        """Return all devices, and the one that stands for elsewhere."""
        return [*self.known(), self._elsewhere]

    def expire(self, waited_s: float, take: Callable[[Any], bool]) -> int:
        """Expire what has waited for so long for any device; see `Slots.expire`."""
        return sum(device.expire(waited_s, take) for device in self.everything())

    def resize(self, shares: Shares) -> None:
        """Let each device have so many slots from now on."""
        self._shares = shares
        for device in self.everything():
            device.resize(shares)

    def _make(self, path: str, name: bytes) -> Device:
        device = Device(path, name, self._shares, self._shared, self._resume, self._limits)
        device.health.logs_looks = self._logs_looks
        return device
