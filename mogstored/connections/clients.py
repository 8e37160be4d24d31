"""The open connections of the process: closing idle ones under pressure, and draining them.

Clients may keep idle connections for days, unless `keepalive_timeout` is set. But when the process
or the system runs out of descriptors, connections that have been idle for some seconds are closed
to make room for clients with requests.

A connection belongs to the worker that steps it. Others end it only while it waits in the poller:
they take ownership and shut its socket down, so that its next step finds the end of the stream.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar, TypeVarTuple

from mogpoll import WorkerPool
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection
from mogstored.log.handlers import NOTICE
from mogstored.log.printable import reason

_log = logging.getLogger("mogstored")

_T = TypeVar("_T")
_Args = TypeVarTuple("_Args")

# Cancels the connections that have waited for a device for so many seconds and that the function
# accepts; returns their number.
Expire = Callable[[float, Callable[[Connection], bool]], int]

# Descriptors or memory ran out.
_PRESSURE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

# A connection idle for longer than this may be closed under pressure.
IDLE_S = 5.0
# At most one sweep, and one log line about failed accepts, in this time.
_SWEEP_INTERVAL_S = 1.0
_DRAIN_INTERVAL_S = 0.1
# Time limit for waiting on closes under pressure.
_CLOSE_WAIT_S = 0.2


class Clients:
    """Counts the connections of the process, and closes idle ones.

    **Threads:** any. `_lock` guards `_open`, `_by_protocol`, `_expired_closed`, `_swept_at` and
    `_complained_at`; `_queues` is filled before the start.
    """

    def __init__(self, pool: WorkerPool[Connection, Buffers]) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._closed = threading.Condition(self._lock)
        self._open = 0
        # Without what was left behind on devices.
        self._by_protocol: dict[str, int] = {}
        self._expired_closed = 0
        self._queues: list[Expire] = []
        self._swept_at = -_SWEEP_INTERVAL_S
        self._complained_at = -_SWEEP_INTERVAL_S

    def add_queue(self, expire: Expire) -> None:
        """Add `Devices.expire`: connections that wait for a device are closed first."""
        self._queues.append(expire)

    def relieve(self) -> bool:
        """Close idle connections; return True if a descriptor may be free."""
        with self._lock:
            before = self._expired_closed
            now = monotonic()
            due = now - self._swept_at >= _SWEEP_INTERVAL_S
            if due:
                self._swept_at = now
        awaited = 1
        if due and (expired := self._expire()):
            _log.log(NOTICE, "expired %d idle connections (>%d sec)", expired, IDLE_S)
            # All of them: other threads that wait for a descriptor may take the first.
            awaited = expired
        with self._closed:
            self._closed.wait_for(lambda: self._expired_closed - before >= awaited, _CLOSE_WAIT_S)
            return self._expired_closed > before

    def _expire(self) -> int:
        """Expire connections that wait for a hung device; if there are none, the idle ones."""
        waited = sum(expire(IDLE_S, _mark_expired) for expire in self._queues)
        return waited or self._pool.step_now(_is_expirable, _hang_up)

    def retry_after_relief(self, call: Callable[[*_Args], _T], *args: *_Args) -> _T:
        """Call; if descriptors or memory ran out, make room and call once more."""
        try:
            return call(*args)
        except OSError as error:
            if not self.relieve_from(error):
                raise
        return call(*args)

    def relieve_from(self, error: OSError) -> bool:
        """Make room if descriptors or memory ran out; False for any other error."""
        if error.errno not in _PRESSURE:
            return False
        self.relieve()
        return True

    def relieve_accept(self, error: OSError) -> bool:
        """Make room after a failed accept; log the failure, at most once a second."""
        with self._lock:
            now = monotonic()
            complain = now - self._complained_at >= _SWEEP_INTERVAL_S
            if complain:
                self._complained_at = now
        if complain:
            _log.error("accept failed: %s", reason(error))
        return self.relieve()

    def note_opened(self, connection: Connection | None = None) -> None:
        """Count a connection; without `connection`, what one left behind on a device."""
        with self._lock:
            self._open += 1
            if connection is not None:
                self._count_protocol(connection, 1)

    def note_closed(self, connection: Connection | None = None) -> None:
        """Uncount a connection that is closing; without `connection`, what one left behind."""
        with self._closed:
            self._open -= 1
            if connection is not None:
                self._count_protocol(connection, -1)
                self._expired_closed += connection.expired
            self._closed.notify_all()

    def _count_protocol(self, connection: Connection, change: int) -> None:
        protocol = connection.protocol
        self._by_protocol[protocol] = self._by_protocol.get(protocol, 0) + change

    def by_protocol(self) -> dict[str, int]:
        """Return the number of open connections of each protocol."""
        with self._lock:
            return self._by_protocol.copy()

    def count(self) -> int:
        """Return the number of open connections."""
        with self._lock:
            return self._open

    def drain(
        self,
        on_round: Callable[[int], object] = lambda _: None,
        deadline: float | None = None,
    ) -> bool:
        """Close idle connections until none is left; return False if some are at `deadline`.

        `deadline` is a time of the monotonic clock. The services are draining and nothing is
        accepted any more. Connections become idle at any time, so this checks them every 0.1 s,
        and calls `on_round` with the number of connections left.
        """
        while count := self.count():
            if deadline is not None and monotonic() >= deadline:
                return False
            on_round(count)
            self._pool.step_now(lambda connection: connection.is_settled())
            with self._closed:
                self._closed.wait_for(lambda: not self._open, _DRAIN_INTERVAL_S)
        return True

    def dismiss(self, timeout_s: float) -> None:
        """Disconnect all clients, and wait for the closes for `timeout_s` at most."""
        self._pool.step_now(lambda _: True, Connection.hang_up)
        with self._closed:
            self._closed.wait_for(lambda: not self._open, timeout_s)


def _hang_up(connection: Connection) -> None:
    connection.expired = True
    connection.hang_up()


def _mark_expired(connection: Connection) -> bool:
    if connection.may_expire:
        connection.expired = True
    return connection.may_expire


def _is_expirable(connection: Connection) -> bool:
    return connection.may_expire and not connection.expired and connection.has_been_silent(IDLE_S)
