"""Accept connections in a dedicated thread that blocks in accept4.

A connection wakes one thread blocked in accept, the one that has waited longest, on Linux and
FreeBSD (n20). So processes that share a listener get long-lived connections evenly. A listener
in an epoll set feeds the busiest process; SO_REUSEPORT gives each its own backlog.

Python's `accept` cannot be interrupted (n21, `mogpoll.stopping`), so the C library's accept4 is
called through ctypes. Its flags avoid the race with `fork`, and the O_NONBLOCK that BSD's accept
inherits from the listener (n29).

Nothing else ends the wait safely (n22): closing the listener wakes no thread, shutting it down
stops the other processes that share it, and FreeBSD ignores SO_RCVTIMEO.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from mogpoll.stopping import PokableThread, install_poke_handler
from mogpoll.threads import log_exception

_log = logging.getLogger("mogpoll")

# The connection closed or failed before it was accepted; ECONNABORTED is common on FreeBSD (n30).
_TRY_NEXT = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.ENETDOWN,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
    }
)
# No descriptor or memory for it. The connection stays in the backlog.
_PRESSURE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Before the next try, if `on_pressure` could not help.
_PRESSURE_PAUSE_S = 0.05

# Its second argument is the peer's address, as `socket.accept` returns it.
AcceptCallback = Callable[[socket.socket, Any], object]
PressureCallback = Callable[[OSError], bool]


class Acceptor:
    """A thread that accepts from one listener and passes the connections to `on_accept`.

    `on_accept` gets a non-blocking socket and the peer's address, and must not block; an exception
    is logged and closes that connection. `on_pressure` is called when descriptors or memory run
    out, and returns whether it released some; if not, the acceptor pauses for 50 ms.

    `with` starts it, and stops it at the end. The listener may be shared with other processes.
    `start` sets it to blocking mode, and the acceptor does so again if another process changes
    that.

    **Threads:** both callbacks run in the acceptor's thread. Call `start` in the main thread,
    or `install_poke_handler` there first; `stop` in any thread but the acceptor's. `stop` writes
    `_last_call` before `_running`, and the thread reads them in reverse order.
    """

    def __init__(
        self,
        listener: socket.socket,
        on_accept: AcceptCallback,
        *,
        on_pressure: PressureCallback | None = None,
        name: str = "acceptor",
    ) -> None:
        self._listener = listener
        self._on_accept = on_accept
        self._on_pressure = on_pressure
        self._running = False
        # How many connections of the backlog to accept before ending.
        self._last_call = 0
        self._resumed = threading.Event()
        self._thread = PokableThread(self._run, name)
        self._peer, self._family = _Peer(), listener.family
        # Without family and type, the socket object would ask the kernel for them.
        self._wrap = functools.partial(
            socket.socket, listener.family, listener.type | _SOCK_NONBLOCK, listener.proto
        )

    def start(self) -> None:
        """Start accepting. **Raises:** `ThreadRefused`; `start` may be called again then."""
        install_poke_handler()
        self._listener.setblocking(True)
        self._running = True
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, *, last_call: int = 0) -> None:
        """End the thread and wait for it; the listener stays open.

        Connections already accepted are passed on; others stay in the backlog for the processes
        that share the listener. If none does, closing it would reset them: accept up to
        `last_call` of them first.
        """
        self._last_call = last_call
        self._running = False
        self._resumed.set()
        self._thread.poke_until_gone()

    def __enter__(self) -> Acceptor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "accepts" if self.is_alive() else "does not run"
        return f"<Acceptor at {_name_of(self._listener)}, {state}>"

    def _run(self) -> None:
        fd = self._listener.fileno()
        while self._running:
            try:
                accepted = _accept4(fd, self._peer)
            except OSError as error:
                if not self._survives(error):
                    return
            except MemoryError:
                self._resumed.wait(_PRESSURE_PAUSE_S)
            else:
                self._pass_on(accepted)
        self._take_backlog(fd)

    def _take_backlog(self, fd: int) -> None:
        """Accept up to `_last_call` connections of the backlog.

        If another process takes one first, accept blocks until the next poke.
        """
        backlog = select.poll()
        backlog.register(fd, select.POLLIN)
        while self._last_call > 0 and backlog.poll(0):
            try:
                accepted = _accept4(fd, self._peer)
            except OSError as error:
                if error.errno in _PRESSURE or not self._survives(error):
                    return
            else:
                self._last_call -= 1
                self._pass_on(accepted)

    def _pass_on(self, fd: int) -> None:
        try:
            connection = self._wrap(fd)
        except BaseException:
            os.close(fd)
            log_exception("could not take on an accepted connection")
            return
        try:
            if not _HAS_ACCEPT4:
                connection.setblocking(False)
            raw = self._peer.raw.raw[: self._peer.size.value]
            self._on_accept(connection, _address_of(self._family, raw))
        except Exception:
            connection.close()
            log_exception("could not take on an accepted connection")

    def _survives(self, error: OSError) -> bool:
        """Handle an error of accept; return False to end the thread."""
        number = error.errno
        if number == errno.EINTR or number in _TRY_NEXT:
            return True
        if number in (errno.EAGAIN, errno.EWOULDBLOCK):
            # Another process has set O_NONBLOCK, which belongs to the shared open file (n30).
            os.set_blocking(self._listener.fileno(), True)
            return True
        if number in _PRESSURE:
            if not self._is_relieved(error):
                self._resumed.wait(_PRESSURE_PAUSE_S)
            return True
        if self._running:
            _log.critical(
                "accepting on %s stopped: accept failed with %s; restart to accept again",
                _name_of(self._listener),
                errno.errorcode.get(number or 0, number),
            )
        return False

    def _is_relieved(self, error: OSError) -> bool:
        if self._on_pressure is None:
            return False
        try:
            return self._on_pressure(error)
        except Exception:
            log_exception("could not relieve the pressure")
            return False


_SOCK_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)
_SOCK_CLOEXEC = getattr(socket, "SOCK_CLOEXEC", 0)
_libc = ctypes.CDLL(None, use_errno=True)
_HAS_ACCEPT4 = hasattr(_libc, "accept4") and _SOCK_NONBLOCK != 0


# The longest address is a path of AF_UNIX.
_SIZE = 128


class _Peer:
    """Where accept writes the address of a peer."""

    __slots__ = ("raw", "size", "size_ref")

    def __init__(self) -> None:
        self.raw = ctypes.create_string_buffer(_SIZE)
        self.size = ctypes.c_uint(_SIZE)
        self.size_ref = ctypes.byref(self.size)


def _accept4(listener_fd: int, peer: _Peer) -> int:
    """Accept one connection; unlike Python's accept, a signal raises `InterruptedError` (n21)."""
    peer.size.value = _SIZE
    if _HAS_ACCEPT4:
        flags = _SOCK_NONBLOCK | _SOCK_CLOEXEC
        fd = _libc.accept4(listener_fd, peer.raw, peer.size_ref, flags)
    else:
        fd = _libc.accept(listener_fd, peer.raw, peer.size_ref)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if not _HAS_ACCEPT4:
        os.set_inheritable(fd, False)
    return int(fd)


def _address_of(family: int, raw: bytes) -> Any:
    """Return the address in `raw`, of a socket of `family`, as `socket.accept` does.

    Every system has the port and the address at the same places (RFC 3493, 3.3). The family is a
    number of 16 bits on Linux, and of 8 bits behind a length on BSD, so the listener's is taken.
    For families other than INET, INET6 and UNIX `raw` itself is returned.
    """
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4])
    if family == socket.AF_INET6:
        scope = int.from_bytes(raw[24:28], sys.byteorder)
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        flow = int.from_bytes(raw[4:8])
        return _with_zone(host, scope), int.from_bytes(raw[2:4]), flow, scope
    if family == socket.AF_UNIX:
        # As a rule the client has bound no path.
        path = raw[2:]
        return path if path[:1] == b"\0" else path.partition(b"\0")[0].decode(*_FILE_NAMES)
    return raw


_FILE_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def _with_zone(host: str, scope: int) -> str:
    """Name the interface of a link-local address."""
    if not scope:
        return host
    try:
        return f"{host}%{socket.if_indextoname(scope)}"
    except OSError:
        return f"{host}%{scope}"


def _name_of(listener: socket.socket) -> str:
    try:
        return str(listener.getsockname())
    except OSError:
        return repr(listener)
