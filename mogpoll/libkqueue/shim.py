"""libkqueue, under the names that `select` has for kqueue on a BSD.

`load(path)` returns an object with `kqueue()`, `kevent(...)` and the `KQ_*` numbers, so that the
kqueue backend runs on Linux, where libkqueue implements kqueue over epoll (n19b).

A green run shows that the backend's bookkeeping is right: two filters on one descriptor,
one-shots, end of file, errors by errno, many threads on one queue. It says nothing of FreeBSD's
order of waking, its own errors, sendfile, accept, or cost.

Debian's libkqueue 2.3.1 differs from FreeBSD (each point was observed). The shim corrects:

- The queue's descriptor is one end of a pipe and never readable. `fileno()` is an epoll
  descriptor around the library's own: readable while an event is pending.
- A waiter reads memory that a concurrent EV_DELETE freed, and the process crashes. No thread
  sleeps inside the library: it waits on the outer epoll, and a lock serialises changes and
  receiving.
- A thread of the library tears a closed queue down later, and may hit the next queue of that
  number. `close` waits until it is done.
- READ and WRITE on one descriptor are refused, since epoll has one entry a descriptor. The
  second filter goes on a duplicate, which is closed with the filter.
- EV_ADD of an existing filter fails; the shim deletes and adds. This also corrects a number that
  was closed while armed and reused: the library does not see `close`.
- The errno of a failed change is unreliable: the shim works out EBADF and ENOENT. With room in
  the event list errors get lost; the shim returns EV_ERROR events.
- Time-outs are cut to whole milliseconds; the error of a pipe without a reader lacks EV_EOF.

These differences remain:

- A descriptor closed while armed keeps its filters, and a duplicate keeps its file open, until
  it is added again or deleted. Delete before closing.
- eventfds are refused (EINVAL). Regular files are accepted for READ, reported only while the
  offset is before the end, and refused for WRITE. FreeBSD accepts all of these.
- The error of a broken socket is cleared (SO_ERROR) to be reported in `fflags`; the next read
  returns end of file, where kqueue leaves the error.
- WRITE of a pipe does not report the room in `data`. A change interrupted by a signal is not
  repeated, as CPython's own is.
- Fork inherits the queue. In the child the shim treats it as closed, but does not close it. In a
  child of a process that had a queue, each closed queue leaks two descriptors: the library's
  thread is missing.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from mogpoll.libkqueue.descriptors import PipeEnd, other_end, watcher_of

# struct kevent in memory: ident, filter, flags, fflags, data, udata.
_KEVENT = struct.Struct("@PhHInP")
_NO_WAIT = struct.pack("@qq", 0, 0)

_FILTER_READ, _FILTER_WRITE = -1, -2
_ADD, _DELETE, _ONESHOT, _EOF, _ERROR = 0x0001, 0x0002, 0x0010, 0x8000, 0x4000

# The library's thread needs less than 1 ms, or longer if the queue is still in use.
_TEARDOWN_LIMIT_S = 1.0

# The library cannot create and tear down queues concurrently. Reentrant, because garbage
# collection may close a queue while this thread creates another.
_lifecycle = threading.RLock()

# In a forked child: the parent's queues, kept so that no destructor closes a reused number.
_inherited: list[select.epoll] = []


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class kevent:
    """One change or event; see `select.kevent`."""

    __slots__ = ("data", "fflags", "filter", "flags", "ident", "udata")

    def __init__(
        self,
        ident: int | _HasFileno,
        filter: int = _FILTER_READ,
        flags: int = _ADD,
        fflags: int = 0,
        data: int = 0,
        udata: int = 0,
    ) -> None:
        self.ident = ident if isinstance(ident, int) else ident.fileno()
        self.filter = filter
        self.flags = flags
        self.fflags = fflags
        self.data = data
        self.udata = udata

    def __repr__(self) -> str:
        return (
            f"<kevent ident={self.ident} filter={self.filter} flags={self.flags:#x} "
            f"fflags={self.fflags:#x} data={self.data:#x} udata={self.udata:#x}>"
        )


class _Library:
    """The two functions of the shared object."""

    def __init__(self, path: str) -> None:
        try:
            loaded = ctypes.CDLL(path, use_errno=True)
        except OSError as error:
            raise OSError(f"cannot load libkqueue from {path}: {error}") from None
        try:
            self.open, self.kevent = loaded.kqueue, loaded.kevent
        except AttributeError as error:
            raise OSError(f"{path} is not libkqueue: {error}") from None
        if ctypes.sizeof(ctypes.c_void_p) != 8:
            raise OSError(f"{path}: struct kevent is known for 64-bit systems only")
        self.open.argtypes = []
        pointer, count = ctypes.c_void_p, ctypes.c_int
        self.kevent.argtypes = [count, pointer, count, pointer, count, pointer]
        # The process whose copy of the library has the tear-down thread.
        self.started_by: int | None = None


# One a path: the tear-down thread belongs to the shared object.
_library = functools.cache(_Library)


class kqueue:
    """One queue; see `select.kqueue`.

    **Threads:** any number may be in `control`. `_lock` guards the duplicates and the library's
    calls for this queue; nothing blocks under it.
    """

    _pid = -1

    def __init__(self, library: _Library) -> None:
        self._library = library
        self._lock = threading.RLock()
        # (descriptor, filter) -> the duplicate that carries it, and back.
        self._duplicates: dict[tuple[int, int], int] = {}
        self._originals: dict[int, int] = {}
        self._outer = select.epoll()
        self._peer: PipeEnd | None = None
        with _lifecycle:
            self._fd = library.open()
            if self._fd < 0:
                raise _os_error(ctypes.get_errno())
            self._pid = os.getpid()
            if library.started_by is None:
                library.started_by = self._pid
            os.set_inheritable(self._fd, False)
            self._peer = other_end(self._fd)
            self._outer.register(self._find_epoll(), select.EPOLLIN)

    @property
    def closed(self) -> bool:
        return self._fd < 0 or self._pid != os.getpid()

    def fileno(self) -> int:
        self._check_open()
        return self._outer.fileno()

    def close(self) -> None:
        with _lifecycle, self._lock:
            if self.closed:
                return
            fd, self._fd = self._fd, -1
            self._outer.close()
            for duplicate in self._originals:
                os.close(duplicate)
            self._originals.clear()
            self._duplicates.clear()
            os.close(fd)
            # A forked child does not have the library's thread.
            if self._peer and self._library.started_by == self._pid:
                _wait_for_teardown(self._peer)

    def __del__(self) -> None:
        if self._pid == os.getpid():
            self.close()
        elif self._pid >= 0:
            _inherited.append(self._outer)

    def control(
        self,
        changelist: Iterable[kevent] | None,
        maxevents: int,
        timeout: float | None = None,
        /,
    ) -> list[kevent]:
        self._check_open()
        if maxevents < 0:
            raise ValueError(f"Length of eventlist must be 0 or positive, got {maxevents}")
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be positive or None")
        failures = self._apply(changelist, maxevents) if changelist is not None else []
        if failures or not maxevents:
            return failures
        return self._wait(maxevents, timeout)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed kqueue object")

    def _apply(self, changes: Iterable[kevent], room: int) -> list[kevent]:
        failures: list[kevent] = []
        for change in changes:
            if not isinstance(change, kevent):
                raise TypeError("changelist must be an iterable of select.kevent objects")
            try:
                with self._lock:
                    self._change(change)
            except OSError as error:
                if len(failures) == room:
                    raise
                failures.append(_failure(change, error.errno or errno.EINVAL))
        return failures

    def _change(self, change: kevent) -> None:
        self._check_open()
        key = (change.ident, change.filter)
        if change.flags & _ADD:
            self._drop_duplicate(key)
            if not self._try(change):
                self._replace(change)
            return
        done = self._try(change, self._duplicates.get(key))
        if change.flags & _DELETE:
            self._drop_duplicate(key)
        if not done:
            os.fstat(change.ident)  # raises EBADF
            raise _os_error(errno.ENOENT)

    def _replace(self, change: kevent) -> None:
        """Add a filter that the library refused: it exists, or is the descriptor's second."""
        os.fstat(change.ident)  # raises EBADF
        self._try(kevent(change.ident, change.filter, _DELETE))
        if self._try(change):
            return
        duplicate = os.dup(change.ident)
        if not self._try(change, duplicate):
            os.close(duplicate)
            raise _os_error(errno.EINVAL)
        self._duplicates[change.ident, change.filter] = duplicate
        self._originals[duplicate] = change.ident

    def _drop_duplicate(self, key: tuple[int, int]) -> None:
        duplicate = self._duplicates.pop(key, None)
        if duplicate is None:
            return
        del self._originals[duplicate]
        self._try(kevent(duplicate, key[1], _DELETE))
        os.close(duplicate)

    def _try(self, change: kevent, ident: int | None = None) -> bool:
        packed = _pack(change, change.ident if ident is None else ident)
        return bool(self._library.kevent(self._fd, packed, 1, None, 0, None) == 0)

    def _wait(self, maxevents: int, timeout: float | None) -> list[kevent]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                is_ready = self._outer.poll(timeout, 1)
            except ValueError:
                self._check_open()  # with a kqueue's message instead of the epoll's
                raise
            events = self._take(maxevents) if is_ready else []
            if deadline is not None:
                timeout = deadline - time.monotonic()
                if timeout <= 0:
                    return events
            if events:
                return events

    def _take(self, maxevents: int) -> list[kevent]:
        buffer = ctypes.create_string_buffer(maxevents * _KEVENT.size)
        with self._lock:
            self._check_open()
            count = -1
            while count < 0:
                count = self._library.kevent(self._fd, None, 0, buffer, maxevents, _NO_WAIT)
                if count < 0 and ctypes.get_errno() != errno.EINTR:
                    raise _os_error(ctypes.get_errno())
            taken = buffer.raw[: count * _KEVENT.size]
            return [self._event(kevent(*fields)) for fields in _KEVENT.iter_unpack(taken)]

    def _event(self, event: kevent) -> kevent:
        if event.filter == _FILTER_WRITE and event.fflags:
            event.flags |= _EOF
        original = self._originals.get(event.ident)
        if original is not None:
            if event.flags & _ONESHOT:
                self._drop_duplicate((original, event.filter))
            event.ident = original
        return event

    def _find_epoll(self) -> int:
        """Return the library's epoll descriptor, found by a pipe that it is made to watch."""
        watched, other = os.pipe()
        try:
            if not self._try(kevent(watched)):
                raise OSError(errno.EINVAL, "libkqueue does not accept a pipe")
            found = watcher_of(watched, near=self._fd)
            if found is None:
                raise OSError(errno.ENOENT, "/proc/self/fdinfo does not show libkqueue's epoll")
            return found
        finally:
            self._try(kevent(watched, flags=_DELETE))
            os.close(watched)
            os.close(other)


class Libkqueue:
    """What `load` returns: a `KqueueApi` with the names of the `select` module."""

    KQ_FILTER_READ: Final = _FILTER_READ
    KQ_FILTER_WRITE: Final = _FILTER_WRITE
    KQ_EV_ADD: Final = _ADD
    KQ_EV_DELETE: Final = _DELETE
    KQ_EV_ENABLE: Final = 0x0004
    KQ_EV_DISABLE: Final = 0x0008
    KQ_EV_ONESHOT: Final = _ONESHOT
    KQ_EV_CLEAR: Final = 0x0020
    KQ_EV_EOF: Final = _EOF
    KQ_EV_ERROR: Final = _ERROR

    def __init__(self, library: _Library) -> None:
        self.kevent: type[kevent] = kevent
        self.kqueue: Callable[[], kqueue] = lambda: kqueue(library)


def load(path: str) -> Libkqueue:
    """Load the shared object at `path`; creates no queue and starts no thread.

    **Raises:** `OSError` naming the path, if it cannot be loaded or is not libkqueue.
    """
    _hook_fork()
    return Libkqueue(_library(path))


_is_fork_hooked = False


def _hook_fork() -> None:
    """Keep fork from copying a half-made queue, or a locked `_lifecycle`."""
    global _is_fork_hooked
    with _lifecycle:
        if _is_fork_hooked:
            return
        os.register_at_fork(
            before=_lifecycle.acquire,
            after_in_parent=_lifecycle.release,
            after_in_child=_lifecycle.release,
        )
        _is_fork_hooked = True


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _pack(change: kevent, ident: int) -> bytes:
    return _KEVENT.pack(
        ident, change.filter, change.flags, change.fflags, change.data, change.udata
    )


def _failure(change: kevent, number: int) -> kevent:
    return kevent(change.ident, change.filter, _ERROR, change.fflags, number, change.udata)


def _wait_for_teardown(peer: PipeEnd) -> None:
    limit = time.monotonic() + _TEARDOWN_LIMIT_S
    while peer.is_open() and time.monotonic() < limit:
        os.sched_yield()
