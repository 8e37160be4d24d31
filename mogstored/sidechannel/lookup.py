"""The path of a command: a file on a device, or a usage record in memory."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from mogstored.files.disk_errors import DeviceDown, NotMounted
from mogstored.files.docroot import close_read

if TYPE_CHECKING:
    from mogstored.service import Service

_ANY_PERMISSION = 0o777


class Target:
    """A path as the client wrote it, and its device.

    The device is looked up once: a slot of it is entered, waited for and left.
    """

    __slots__ = ("_name", "_service", "device", "path")

    def __init__(self, service: Service, path: bytes) -> None:
        self.path = path
        self._service = service
        self._name = path.lstrip(b"/") or b"."
        self.device = service.devices.of(self._name)

    def size(self) -> int:
        """Return the size in bytes; the caller holds a slot of the device.

        **Raises:** `OSError` when there is nothing of that name.
        """
        try:
            self._refuse_unusable()
            status = self._service.docroot.stat(self._name)
        except OSError:
            text = self._remembered()
            if text is None:
                raise
            return len(text)
        text = self._withheld(status)
        return status.st_size if text is None else len(text)

    def open(self) -> tuple[int, os.stat_result] | bytes:
        """Open the file, or return its record in memory; the caller holds a slot.

        **Raises:** `OSError` when neither is possible.
        """
        docroot = self._service.docroot
        try:
            self._refuse_unusable()
            fd = self._service.clients.retry_after_relief(docroot.open_read, self._name)
        except OSError:
            text = self._remembered()
            if text is None:
                raise
            return text
        try:
            status = os.fstat(fd)
            text = self._withheld(status)
        except BaseException:
            close_read(fd)
            raise
        if text is not None:
            close_read(fd)
            return text
        self._service.devices.register(self._name)
        return fd, status

    def _refuse_unusable(self) -> None:
        """Refuse what lies where a device should be mounted, or on one that is down."""
        if self.device.is_down:
            raise DeviceDown
        if self._service.is_unmounted(self._name):
            raise NotMounted

    def _withheld(self, status: os.stat_result) -> bytes | None:
        """Return the record that stands for a usage file without any permission.

        An operator spares a disk the writes that way; root could read the file.
        """
        if stat.S_IMODE(status.st_mode) & _ANY_PERMISSION:
            return None
        return self._remembered()

    def _remembered(self) -> bytes | None:
        """Return the record in memory, if this is the name of a usage file."""
        inventory = self._service.inventory
        record = None if inventory is None else inventory.record_at(self.path[1:])
        return None if record is None else record.text()
