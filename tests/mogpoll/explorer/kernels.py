"""Models of the two kernels: what is registered, what is ready, what one wait takes.

Both deliver any queued event, in no order, so that every order of a kernel is among those played.
A descriptor is always writable, and readable once data has arrived (`Files`).
"""

from __future__ import annotations

import errno
from typing import Any, NamedTuple

from tests.mogpoll.explorer.machine import Blocked, KernelError

CLOSED, SILENT, READABLE, ORPHAN = "closed", "silent", "readable", "orphan"
# Nothing arrives any more.
SPENT = "spent"
# It could not be registered.
REFUSED = "refused"

_EPOLLIN, _EPOLLOUT, _EPOLLONESHOT = 0x001, 0x004, 1 << 30


class Choice:
    """The alternative that the present step takes; see `search.World`."""

    def __init__(self) -> None:
        self.choice, self.choices = 0, 1

    def among(self, alternatives: list[Any]) -> Any:
        self.choices = len(alternatives)
        return alternatives[self.choice]


class Files(dict[int, str]):
    """What each descriptor number stands for."""


class Kernel:
    """What the two have in common: files, and choosing an event."""

    def __init__(self, files: Files, choice: Choice) -> None:
        self.files, self._choice = files, choice
        self.entries: dict[Any, Any] = {}

    def arrive(self, fd: int) -> None:
        """Data arrives for `fd`."""
        self.files[fd] = READABLE

    def close(self, fd: int) -> None:
        raise NotImplementedError


class KernelEvent(NamedTuple):
    """A kevent, in the order of the arguments of `select.kevent`."""

    ident: int
    filter: int = -1
    flags: int = 1
    fflags: int = 0
    data: int = 0
    udata: int = 0


class Knote(NamedTuple):
    """A registration of a kqueue."""

    udata: int
    is_once: bool
    is_queued: bool


class Kqueue(Kernel):
    """A `KqueueApi` that is its own only queue: a knote for each descriptor and filter.

    A queued one-shot is delivered as it was queued (n03), and takes a new udata (n61). Closing a
    descriptor drops its knotes (n07). WRITE of a pipe without a reader is refused (n62).
    """

    KQ_FILTER_READ, KQ_FILTER_WRITE, KQ_FILTER_TIMER = -1, -2, -7
    KQ_EV_ADD, KQ_EV_DELETE, KQ_EV_ONESHOT = 0x1, 0x2, 0x10
    KQ_EV_EOF, KQ_EV_ERROR = 0x8000, 0x4000

    kevent = KernelEvent
    closed = False

    def __init__(self, files: Files, choice: Choice, refusal: int) -> None:
        """`refusal` is the error number of WRITE for a pipe without a reader."""
        super().__init__(files, choice)
        self._refusal = refusal

    def kqueue(self) -> Kqueue:
        return self

    def fileno(self) -> int:
        return -1

    def control(
        self, changes: list[KernelEvent] | None, room: int, timeout: float | None = None
    ) -> tuple[KernelEvent, ...]:
        for change in changes or ():
            self._change(change)
        if not room:
            return ()
        queued = sorted(key for key, knote in self.entries.items() if knote.is_queued)
        if not queued:
            raise Blocked(waits=True)
        first = self._choice.among(queued)
        at = queued.index(first)
        return tuple(self._deliver(key) for key in [first, *queued[at + 1 :]][:room])

    def _deliver(self, key: tuple[int, int]) -> KernelEvent:
        knote = self.entries[key]
        if knote.is_once:
            del self.entries[key]
        return KernelEvent(*key, 0, 0, 1, knote.udata)

    def _change(self, change: KernelEvent) -> None:
        key = change.ident, change.filter
        state = self.files[change.ident]
        if change.filter == self.KQ_FILTER_TIMER:
            self.entries[key] = Knote(change.udata, True, True)
            return
        if state == CLOSED:
            raise KernelError(errno.EBADF, "closed")
        known = self.entries.get(key)
        if change.flags & self.KQ_EV_DELETE:
            if known is None:
                raise KernelError(errno.ENOENT, "no such knote")
            del self.entries[key]
            return
        is_write = change.filter == self.KQ_FILTER_WRITE
        if is_write and state == ORPHAN and known is None:
            raise KernelError(self._refusal, "no reader")
        is_ready = is_write or state == READABLE
        is_queued = is_ready or (known is not None and known.is_queued)
        self.entries[key] = Knote(change.udata, bool(change.flags & self.KQ_EV_ONESHOT), is_queued)

    def arrive(self, fd: int) -> None:
        super().arrive(fd)
        key = fd, self.KQ_FILTER_READ
        if key in self.entries:
            self.entries[key] = self.entries[key]._replace(is_queued=True)

    def close(self, fd: int) -> None:
        self.files[fd] = CLOSED
        for key in [key for key in self.entries if key[0] == fd]:
            if key[1] != self.KQ_FILTER_TIMER:
                del self.entries[key]


class Epoll(Kernel):
    """A `select.epoll`: an entry for each file, with one mask (n01).

    Delivery clears the mask of a one-shot (n02), and looks again before (n03). Closing the file
    removes its entry (n07).
    """

    closed = False

    # Whether it may refuse to register a file.
    is_refusing = False

    def register(self, fd: int, mask: int) -> None:
        self._check_open(fd)
        if self.is_refusing and self._choice.among([False, True]):
            self.files[fd] = REFUSED
            raise KernelError(errno.EPERM, "refused")
        if fd in self.entries:
            raise FileExistsError(errno.EEXIST, "registered")
        self.entries[fd] = mask

    def modify(self, fd: int, mask: int) -> None:
        self._check_open(fd)
        if fd not in self.entries:
            raise FileNotFoundError(errno.ENOENT, "not registered")
        self.entries[fd] = mask

    def unregister(self, fd: int) -> None:
        self._check_open(fd)
        if self.entries.pop(fd, None) is None:
            raise FileNotFoundError(errno.ENOENT, "not registered")

    def poll(self, timeout: float | None, maxevents: int) -> tuple[tuple[int, int], ...]:
        ready = sorted(fd for fd in self.entries if self._bits(fd))
        if not ready:
            if timeout == 0:
                return ()
            raise Blocked(waits=True)
        fd = self._choice.among(ready)
        bits = self._bits(fd)
        if self.entries[fd] & _EPOLLONESHOT:
            self.entries[fd] = 0
        return ((fd, bits),)

    def _bits(self, fd: int) -> int:
        ready = _EPOLLOUT | (_EPOLLIN if self.files[fd] == READABLE else 0)
        return int(self.entries[fd] & ready)

    def _check_open(self, fd: int) -> None:
        if self.files[fd] == CLOSED:
            raise OSError(errno.EBADF, "closed")

    def close(self, fd: int) -> None:
        self.files[fd] = CLOSED
        self.entries.pop(fd, None)
