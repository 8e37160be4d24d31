"""Whether a device is mounted, or a directory that waits for a mount."""

from __future__ import annotations

import os

from mogstored.files.docroot import Docroot


class MountGuard:
    """The devices of one docroot that lie on the docroot's own file system.

    **Threads:** any.
    """

    def __init__(self, docroot: Docroot) -> None:
        self._docroot = docroot
        self.st_dev = os.fstat(docroot.fileno()).st_dev

    def is_unmounted(self, devid: int) -> bool:
        """Say whether `devN` lies on the docroot's own file system now.

        One system call on the device: take a slot of it first. A device that does not answer,
        or is not there, counts as mounted: the next call on it fails with the reason.
        """
        try:
            found = os.stat(b"dev%d" % devid, dir_fd=self._docroot.fileno())
        except OSError:
            return False
        return found.st_dev == self.st_dev
