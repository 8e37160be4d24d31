"""The errors of a poller, the same on every backend.

Each is an `OSError` with `errno` set; `PollError` is the base of all.
"""

from __future__ import annotations

import errno


class PollError(OSError):
    """A poller refused a call; the subclasses say why."""


class AlreadyRegistered(PollError):
    """`add` of a descriptor number that is registered: forget it before closing it."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.EEXIST, f"descriptor {fd!r} is already registered")


class NotRegistered(PollError):
    """`rearm` or `forget` of a descriptor number that was never added, or was forgotten."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.ENOENT, f"descriptor {fd!r} is not registered")


class NotPollable(PollError):
    """The descriptor is a file, a directory or a device: no socket, pipe or waker."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.EPERM, f"descriptor {fd!r} cannot be polled for readiness")


class BadDescriptor(PollError):
    """The number is no open descriptor of this process: closed, negative or too large."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.EBADF, f"{fd!r} is not an open descriptor")


class PollerClosed(PollError):
    """The poller was closed, or was opened by the process that forked this one."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "the poller is closed")
