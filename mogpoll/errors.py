"""Every way in which a poller refuses a call, the same on every backend.

Each class is an `OSError` with its `errno` set, so that callers may catch either the
precise class, `PollError` for all of them, or `OSError` as they do elsewhere.
"""

from __future__ import annotations

import errno


class PollError(OSError):
    """A poller could not do what it was asked; see the subclasses."""


class AlreadyRegistered(PollError):
    """`add` of a descriptor number that was added before and not forgotten since."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.EEXIST, f"descriptor {fd!r} is already registered")


class NotRegistered(PollError):
    """`rearm` or `forget` of a descriptor number that was never added, or is forgotten."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.ENOENT, f"descriptor {fd!r} is not registered")


class NotPollable(PollError):
    """The descriptor is neither a socket nor a pipe nor a waker: a file, a directory."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.EPERM, f"descriptor {fd!r} cannot be polled for readiness")


class BadDescriptor(PollError):
    """The number is not an open descriptor of this process: closed, negative or too large."""

    def __init__(self, fd: object) -> None:
        super().__init__(errno.EBADF, f"{fd!r} is not an open descriptor")


class PollerClosed(PollError):
    """The poller was closed, or belongs to the process that this one was forked from."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "the poller is closed")
