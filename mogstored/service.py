"""What all connections to one docroot share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mogstored.http.body_md5 import HashingThreads
from mogstored.limits import Clients, Lingerers
from mogstored.storage.device import Devices, device_name, device_number
from mogstored.storage.docroot import Docroot
from mogstored.storage.open_files import OpenFiles

if TYPE_CHECKING:
    from mogstored.sidechannel.watchers import Watchers
    from mogstored.storage.book import DeviceBook, MountGuard
    from mogstored.storage.digests import FsckLines


@dataclass(slots=True)
class Service:
    """One docroot with its devices, and the process's means to serve it.

    `book` is None for a service without a sidechannel, whose devices nobody looks at;
    `guard` unless devices must be mounted to be served.

    **Threads:** read by all. `draining` changes once, from false to true, when the node
    stops: from then on connections end as soon as nothing of a request is there.
    """

    docroot: Docroot
    devices: Devices
    open_files: OpenFiles
    clients: Clients
    lingerers: Lingerers
    book: DeviceBook | None
    watchers: Watchers
    fsck_lines: FsckLines
    hashing: HashingThreads
    set_aio_threads: Callable[[int], None]
    request_stop: Callable[[], None]
    guard: MountGuard | None = None
    draining: bool = False

    def is_unmounted(self, path: bytes) -> bool:
        """Say whether `path` lies on a device that must be mounted and is not.

        One system call on the device, if any: enter it first.
        """
        if self.guard is None:
            return False
        devid = device_number(device_name(path))
        return devid is not None and self.guard.is_unmounted(devid)

    def note_change(self, path: bytes) -> None:
        """Note that `path` shows another file than before, or none."""
        self.open_files.drop(path)
        if self.book is not None:
            self.book.mark_dirty(path)
