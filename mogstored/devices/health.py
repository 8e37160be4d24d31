"""The state of a device, which decides what `/devN/usage` says of it, and its lines in the log.

A device hangs when a look at it takes `HANGING_S`, or when it gives back none of its slots for
that long (`mogstored.devices.watchdog`). It fails when the last look at it ended with an
error. Trackers must learn of both at once: the last record would make them send files there.

Too many errors, or the operator, take a device out of use (`mogstored.devices.sickness`): one that
is down is not looked at, and one without writes says that it is full.

It is read-only when its file system is mounted so, or when the last change of it was refused with
EROFS: a file system that has found itself damaged may refuse changes without another sign.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum, unique
from time import monotonic
from typing import NamedTuple

from mogstored.devices.sickness.standing import Standing
from mogstored.log.printable import error_name, reason

_log = logging.getLogger("mogstored")

# The one measure of what hangs, in seconds.
HANGING_S = 2.0


@unique
class DeviceState(StrEnum):
    """What a device is good for, the worst first; metrics and the log have these words."""

    DOWN = "down"
    """Its disk is not touched."""
    HUNG = "hung"
    """It does not answer."""
    FAILED = "failed"
    """The last look at it ended with an error."""
    UNMOUNTED = "unmounted"
    """Nothing is there, or only a directory that waits for a mount."""
    NO_WRITES = "no-writes"
    """Files are read and removed; it gets no new ones."""
    READ_ONLY = "read-only"
    """Files are read, and changes refused."""
    OK = "ok"


_UNWELL = frozenset({DeviceState.HUNG, DeviceState.FAILED})
# A file system can be read.
_WELL = frozenset({DeviceState.OK, DeviceState.READ_ONLY})


def is_hung(since: float, now: float) -> bool:
    """Say whether work that has not moved since then hangs; both on the monotonic clock."""
    return now - since >= HANGING_S


class HeldSlots(NamedTuple):
    """The slots of a device none of which comes back: requests that have one, and that wait."""

    held: int
    waiting: int


class Health:
    """Of one device: the look that goes on now, how the last one ended, and its requests.

    **Threads:** any; each attribute is read and written whole, `_lock` guards what was logged.
    There is one look at a device at a time; the caller sees to that.
    """

    __slots__ = (
        *("_device", "_lock", "_logged", "_logged_error", "_logged_read_only", "_look_began"),
        *("_was_well", "error", "held_slots", "is_absent", "is_mounted_read_only"),
        *("is_removed", "is_unmounted", "logs_looks", "path", "refuses_changes", "standing"),
    )

    def __init__(self, path: str = "", device: str = "") -> None:
        self.path = path
        self._device = device
        self.error: int | None = None
        """The errno with which the last look ended; None if it succeeded."""
        self.held_slots: HeldSlots | None = None
        """None unless its slots hang; set by the watchdog."""
        self.is_unmounted = False
        """Whether it lies on the docroot's file system, and should not."""
        self.is_absent = False
        """Whether the last look found no directory: a link to nothing, for example."""
        self.is_removed = False
        """Whether the docroot has no such name any more."""
        self.is_mounted_read_only = False
        """Whether its file system says so."""
        self.refuses_changes = False
        """Whether the last change of a file on it ended with EROFS."""
        self.standing = Standing.OK
        """What it may be used for; changes of it are logged by those that make them."""
        self.logs_looks = True
        """Whether this process logs what looks find: of several that look, one does."""
        self._look_began: float | None = None
        self._lock = threading.Lock()
        self._logged = DeviceState.OK
        self._logged_error: int | None = None
        self._logged_read_only = False
        self._was_well = False

    @contextmanager
    def look(self) -> Iterator[None]:
        """Note that a look at the device goes on within the block, and log what it found."""
        self._look_began = monotonic()
        try:
            yield
        finally:
            self._look_began = None
            self.log_change()

    def note_mount(self, *, is_read_only: bool) -> None:
        """Note what a look says of the file system; one that was mounted anew takes changes."""
        if self.is_mounted_read_only and not is_read_only:
            self.refuses_changes = False
        self.is_mounted_read_only = is_read_only

    def note_refusal(self) -> None:
        """Note that a change of a file ended with EROFS."""
        if not self.refuses_changes:
            self.refuses_changes = True
            self.log_change()

    def note_change(self) -> None:
        """Note that a change of a file succeeded; for a device that refused one before."""
        self.refuses_changes = False
        self.log_change()

    def hangs(self) -> bool:
        """Say whether the device hangs now; from memory."""
        return self.held_slots is not None or self._look_hangs()

    def state(self) -> DeviceState:
        """Return the state as of now; from memory."""
        if self.standing is Standing.DOWN:
            return DeviceState.DOWN
        found = self._found()
        if self.standing is Standing.NO_WRITES and found in _WELL:
            return DeviceState.NO_WRITES
        return found

    def log_change(self) -> None:
        """Log how the disk is, if the log says otherwise; once a second, and after a look."""
        with self._lock:
            state = self._found()
            if not self.logs_looks and (state is not DeviceState.HUNG or self._look_hangs()):
                # What looks find is logged by another process.
                state = DeviceState.OK
            before, self._logged = self._logged, state
            before_error, self._logged_error = self._logged_error, self.error
            if state is not before:
                self._log_end(before, state)
            fails_again = state is DeviceState.FAILED and self.error != before_error
            if (state is not before or fails_again) and not self._waits_for_a_mount(state):
                self._log_begin(state)
            if state in _WELL and (state is DeviceState.READ_ONLY) is not self._logged_read_only:
                self._logged_read_only = not self._logged_read_only
                self._log_read_only()

    def _found(self) -> DeviceState:
        """Return the state of the disk, whatever it may be used for."""
        if self.hangs():
            return DeviceState.HUNG
        # Administrators take the permission to enter from directories that wait for a mount.
        if self.is_unmounted or self.is_absent or self.error == errno.EACCES:
            return DeviceState.UNMOUNTED
        if self.error is not None:
            return DeviceState.FAILED
        return DeviceState.READ_ONLY if self._is_read_only() else DeviceState.OK

    def _waits_for_a_mount(self, state: DeviceState) -> bool:
        """Say whether it has been empty from the start, which is neither news nor a fault."""
        self._was_well = self._was_well or state in _WELL
        return state is DeviceState.UNMOUNTED and not (self.is_unmounted or self._was_well)

    def _look_hangs(self) -> bool:
        began = self._look_began
        return began is not None and is_hung(began, monotonic())

    def _is_read_only(self) -> bool:
        return self.is_mounted_read_only or self.refuses_changes

    def _log_end(self, before: DeviceState, state: DeviceState) -> None:
        if before is DeviceState.UNMOUNTED and state in _WELL:
            _log.info("%s is mounted now", self.path, extra=self._fields())
        elif before in _UNWELL and state not in _UNWELL:
            _log.info("%s answers again", self.path, extra=self._fields())

    def _log_begin(self, state: DeviceState) -> None:
        held = self.held_slots
        if state is DeviceState.HUNG and held is not None:
            _log.warning(
                "%s has ended none of its %d requests for %g s, and %d more wait",
                *(self.path, held.held, HANGING_S, held.waiting),
                extra=self._fields(),
            )
        elif state is DeviceState.HUNG:
            _log.warning(
                "%s has not answered for %g s, and is left out",
                *(self.path, HANGING_S),
                extra=self._fields(),
            )
        elif state is DeviceState.UNMOUNTED:
            _log.warning("%s is not mounted, and left out", self.path, extra=self._fields())
        elif state is DeviceState.FAILED:
            error = OSError(self.error, os.strerror(self.error or 0))
            _log.error(
                "%s fails: %s; its usage is answered with 500",
                *(self.path, reason(error)),
                extra={**self._fields(), "errno": error_name(error)},
            )

    def _log_read_only(self) -> None:
        if self._logged_read_only:
            _log.warning(
                "%s is read-only: PUT and DELETE are answered with 403",
                self.path,
                extra=self._fields(),
            )
        else:
            _log.info("%s is writable again", self.path, extra=self._fields())

    def _fields(self) -> dict[str, str]:
        return {"device": self._device, "path": self.path, "state": self._logged.value}
