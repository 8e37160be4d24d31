"""Accept connections in a dedicated thread that blocks in accept4 and nowhere else.

Waiting in accept wakes one thread per connection, in the order in which they went to
sleep, on Linux and on FreeBSD. Processes that share a listener therefore get long-lived
connections evenly. A listener in an epoll set feeds the busiest process instead, and
SO_REUSEPORT splits the line of waiting customers in two.

Python's own `accept` cannot be left once it blocks (see `mogpoll.stopping`), so the C
library's accept4 is called through ctypes. It takes the flags for the new descriptor, so
neither a race with `fork` nor BSD's habit of inheriting O_NONBLOCK from the listener
matters.

Nothing else ends the wait without harm: closing the listener wakes nobody, shutting it
down stops the other processes that share it, a receive time-out is ignored by FreeBSD.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable

from mogpoll.stopping import PokableThread, can_poke, install_poke_handler

_log = logging.getLogger("mogpoll")

# The connection was gone before it was accepted, or the network reported a fault of that
# connection only. On FreeBSD ECONNABORTED is an everyday event.
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
# Nothing left to accept into. The connection stays in the backlog.
_PRESSURE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# The pause after pressure that nobody relieved, to not spin.
_PRESSURE_PAUSE_S = 0.05

AcceptCallback = Callable[[socket.socket], None]
PressureCallback = Callable[[OSError], bool]


class Acceptor:
    """A thread that accepts from one listener and passes each connection on.

    `on_accept` is called in the acceptor's thread with a non-blocking socket and must not
    block; whatever it raises is logged and costs that connection only. `on_pressure` is
    called when descriptors or memory ran out, and says whether it could release some;
    if it could not, the acceptor pauses briefly.

    The listener may be shared with other processes. It must be in blocking mode, and is
    put back into it when another process has changed that.

    **Threads:** `start` from the main thread, unless `install_poke_handler` was called
    there before; `stop` from any thread but the acceptor's own. `stop` sets `_last_call` before
    `_running`, and the thread reads them in the other order, each a single object that is
    replaced as a whole; it is poked until it has seen them. `_resumed` is an `Event`.
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
        # How many of those who wait in the backlog to take after the end.
        self._last_call = 0
        self._resumed = threading.Event()
        self._own_address: object = None
        self._thread = PokableThread(self._run, name)
        # Without its family and type the socket object would ask the kernel for them.
        self._wrap = functools.partial(
            socket.socket, listener.family, listener.type | _SOCK_NONBLOCK, listener.proto
        )

    def start(self) -> None:
        if can_poke():
            install_poke_handler()
        self._listener.setblocking(True)
        self._running = True
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, *, last_call: int = 0) -> None:
        """End the thread and return when it has ended; the listener stays open.

        A connection that was accepted before is passed on; one that was not stays in the
        backlog for whoever shares the listener. When nobody does, closing the listener
        would reset it: up to `last_call` of those who wait there are taken first.
        """
        self._last_call = last_call
        self._running = False
        self._resumed.set()
        if can_poke():
            self._thread.poke_until_gone()
        else:
            self._connect_until_gone()

    def _run(self) -> None:
        fd = self._listener.fileno()
        while self._running:
            try:
                accepted = _accept4(fd)
            except OSError as error:
                if not self._survives(error):
                    return
            else:
                self._pass_on(accepted)
        self._take_backlog(fd)

    def _take_backlog(self, fd: int) -> None:
        """Accept those who wait already, as many as `stop` said.

        A sibling may be quicker, and then accept blocks: until the next poke.
        """
        backlog = select.poll()
        backlog.register(fd, select.POLLIN)
        while self._last_call > 0 and backlog.poll(0):
            try:
                accepted = _accept4(fd)
            except OSError as error:
                if error.errno in _PRESSURE or not self._survives(error):
                    return
            else:
                self._last_call -= 1
                self._pass_on(accepted)

    def _pass_on(self, fd: int) -> None:
        connection = self._wrap(fd)
        if not _HAS_ACCEPT4:
            connection.setblocking(False)
        if self._own_address is not None and _peer_of(connection) == self._own_address:
            connection.close()
            return
        try:
            self._on_accept(connection)
        except Exception:
            _log.exception("could not take on an accepted connection")
            connection.close()

    def _survives(self, error: OSError) -> bool:
        """Deal with a failed accept; False ends the thread."""
        number = error.errno
        if number == errno.EINTR or number in _TRY_NEXT:
            return True
        if number in (errno.EAGAIN, errno.EWOULDBLOCK):
            # O_NONBLOCK belongs to the open file, which a sibling process can change.
            os.set_blocking(self._listener.fileno(), True)
            return True
        if number in _PRESSURE:
            if not self._is_relieved(error):
                self._resumed.wait(_PRESSURE_PAUSE_S)
            return True
        if self._running:
            _log.critical(
                "accepting on %s ended: %s",
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
            _log.exception("could not relieve the pressure")
            return False

    def _connect_until_gone(self) -> None:
        """Wake the thread by connecting to it, where it cannot be signalled.

        Another process that shares the listener may take the connection; so, again. Ours
        is not passed on, save on a UNIX listener, where no peer can be told from another.
        """
        address = self._listener.getsockname()
        while self._thread.is_alive():
            with socket.socket(self._listener.family, self._listener.type) as waker:
                waker.settimeout(1.0)
                try:
                    if isinstance(address, tuple):
                        waker.bind((_LOOPBACK.get(address[0], address[0]), 0))
                        self._own_address = waker.getsockname()
                    waker.connect(address)
                except OSError:
                    # A full backlog, say. The thread is awake then.
                    time.sleep(_PRESSURE_PAUSE_S)
                self._thread.join(_PRESSURE_PAUSE_S)


# From where to connect to a listener on every address, to know our own connection again.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}

_SOCK_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)
_SOCK_CLOEXEC = getattr(socket, "SOCK_CLOEXEC", 0)
_libc = ctypes.CDLL(None, use_errno=True)
_HAS_ACCEPT4 = hasattr(_libc, "accept4") and _SOCK_NONBLOCK != 0


def _accept4(listener_fd: int) -> int:
    """Accept one connection; interrupted calls raise `InterruptedError`, unlike Python's."""
    if _HAS_ACCEPT4:
        fd = _libc.accept4(listener_fd, None, None, _SOCK_NONBLOCK | _SOCK_CLOEXEC)
    else:
        fd = _libc.accept(listener_fd, None, None)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if not _HAS_ACCEPT4:
        os.set_inheritable(fd, False)
    return int(fd)


def _peer_of(connection: socket.socket) -> object:
    try:
        return connection.getpeername()
    except OSError:
        # Reset already.
        return None


def _name_of(listener: socket.socket) -> str:
    try:
        return str(listener.getsockname())
    except OSError:
        return repr(listener)
