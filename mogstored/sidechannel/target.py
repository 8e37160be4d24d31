"""What a path of the sidechannel names: a file on a device, or a usage record in memory."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mogstored.service import Service

_ANY_PERMISSION = 0o777


class Target:
    """A path as the client wrote it, and where it leads.

    The device is looked up once: who has waited for a slot of one must not leave another.
    """

    __slots__ = ("_name", "_service", "device", "path")

    def __init__(self, service: Service, path: bytes) -> None:
        self.path = path
        self._service = service
        self._name = path.lstrip(b"/") or b"."
        self.device = service.devices.of(self._name)

    def size(self) -> int:
        """Return the size; the caller holds a slot of the device.

        **Raises:** `OSError` when there is nothing of that name.
        """
        try:
            self._refuse_unmounted()
            status = self._service.docroot.stat(self._name)
        except OSError:
            text = self._remembered()
            if text is None:
                raise
            return len(text)
        text = self._withheld(status)
        return status.st_size if text is None else len(text)

    def open(self) -> tuple[int, os.stat_result] | bytes:
        """Open the file, or return what is known of it; the caller holds a slot.

        **Raises:** `OSError` when neither is possible.
        """
        docroot = self._service.docroot
        try:
            self._refuse_unmounted()
            fd = self._service.clients.retried(lambda: docroot.open_read(self._name))
        except OSError:
            text = self._remembered()
            if text is None:
                raise
            return text
        try:
            status = os.fstat(fd)
            text = self._withheld(status)
        except BaseException:
            os.close(fd)
            raise
        if text is not None:
            os.close(fd)
            return text
        self._service.devices.learn(self._name)
        return fd, status

    def _refuse_unmounted(self) -> None:
        """Raise for what lies where a device should be mounted: it is not the device's."""
        if self._service.is_unmounted(self._name):
            raise OSError(errno.ENXIO, "not mounted")

    def _withheld(self, status: os.stat_result) -> bytes | None:
        """Return the record that stands for a file which its operator shut to everybody.

        That is how one spares a disk the writing of its usage file; root could read it.
        """
        if stat.S_IMODE(status.st_mode) & _ANY_PERMISSION:
            return None
        return self._remembered()

    def _remembered(self) -> bytes | None:
        """Return the record in memory, if this is the name of a usage file."""
        book = self._service.book
        record = None if book is None else book.record_at(self.path[1:])
        return None if record is None else record.text()
