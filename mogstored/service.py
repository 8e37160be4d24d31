"""What all connections to one docroot share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from mogstored.config.values.free_space import MinFree
from mogstored.connections.clients import Clients
from mogstored.connections.lingering_close import LingeringClose
from mogstored.devices.device import Devices
from mogstored.devices.inventory import DeviceInventory
from mogstored.devices.mounts.guard import MountGuard
from mogstored.files.checksums.body_digest import HashingThreads
from mogstored.files.digests import FsckQueue
from mogstored.files.docroot import Docroot
from mogstored.files.names import device_name, device_number
from mogstored.files.recent_files import RecentFiles
from mogstored.observability.access_log import AccessLog
from mogstored.observability.counters import Counters
from mogstored.utilization.watchers import Watchers

_log = logging.getLogger("mogstored")


@dataclass
class Service:
    """One docroot with its devices, and the process's means to serve it.

    `inventory` is None where nothing needs to know how full devices are. `guard` is None
    unless devices must be mounted to be served, `access_log` unless requests are logged.

    Without slots: on a free-threaded interpreter, each read of a slot takes the object's lock if
    another thread owns what is in it. Source: PyMember_GetOne in CPython 3.13.

    **Threads:** read by all. `draining` changes once, from false to true, when the node
    stops: from then on connections end as soon as nothing of a request is there. `access_log`
    and `min_free` are replaced as a whole.
    """

    docroot: Docroot
    devices: Devices
    recent_files: RecentFiles
    clients: Clients
    lingering: LingeringClose
    inventory: DeviceInventory | None
    watchers: Watchers
    fsck_queue: FsckQueue
    hashing: HashingThreads
    set_aio_threads: Callable[[int], None]
    request_stop: Callable[[], None]
    guard: MountGuard | None = None
    counters: Counters = field(default_factory=Counters)
    access_log: AccessLog | None = None
    min_free: MinFree | None = None
    draining: bool = False
    number: int = 0
    """Of the docroot, in this process."""

    def keep_free(self, min_free: MinFree | None) -> None:
        """Answer uploads with 507 from now on that would leave less than this free."""
        self.min_free = min_free
        if min_free is not None and self.inventory is None:
            _log.warning(
                "min_free does not hold in %s before an upgrade (USR2): nothing looks at it",
                self.docroot.path,
            )

    def is_unmounted(self, path: bytes) -> bool:
        """Say whether `path` lies on a device that must be mounted and is not.

        One system call on the device, if any: enter it first.
        """
        if self.guard is None:
            return False
        devid = device_number(device_name(path))
        return devid is not None and self.guard.is_unmounted(devid)
