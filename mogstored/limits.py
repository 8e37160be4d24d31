"""Take connections back when descriptors run out, and end those that linger too long.

Clients park connections for days, and they may: nothing times out. But when the process
or the system has no descriptor left, connections on which nothing moved for some seconds
are given up, so that clients with something to say are heard.

A connection belongs to its worker. It is only ever ended by shutting its socket down, as
its owner, while it waits in the poller; the next step finds the end of the stream.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from mogpoll import WorkerPool
from mogstored.connection import Connection, Workspace
from mogstored.log import NOTICE

_log = logging.getLogger("mogstored")

_T = TypeVar("_T")

# No descriptor or no memory was left.
_PRESSURE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

# A connection without traffic for longer than this may be given up under pressure.
IDLE_S = 5.0
# No more than one sweep, and one log line on a failed accept, in this time.
_SWEEP_INTERVAL_S = 1.0
_DRAIN_INTERVAL_S = 0.1
# How long to wait for expired connections to be closed before the caller tries again.
_CLOSE_WAIT_S = 0.2


class Clients:
    """All clients of the process, as far as they can be taken back.

    **Threads:** any. `_lock` guards the times and counts below it.
    """

    def __init__(self, pool: WorkerPool[Connection, Workspace]) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._closed = threading.Condition(self._lock)
        self._reserves: list[Callable[[], int]] = []
        self._open = 0
        self._expired_closed = 0
        self._swept_at = -_SWEEP_INTERVAL_S
        self._complained_at = -_SWEEP_INTERVAL_S

    def add_reserve(self, release: Callable[[], int]) -> None:
        """Call `release` before any client is given up; it returns what it could close."""
        self._reserves.append(release)

    def relieve(self) -> bool:
        """Close what can be spared, else idle clients; True when a descriptor may be free."""
        if sum([release() for release in self._reserves]):
            return True
        with self._lock:
            before = self._expired_closed
            now = monotonic()
            due = now - self._swept_at >= _SWEEP_INTERVAL_S
            if due:
                self._swept_at = now
        # All of them, for the first descriptors may be taken by others who wait for one.
        awaited = 1
        if due:
            expired = self._pool.kick(_is_expirable, _expire)
            if expired:
                _log.log(NOTICE, "expired %d idle connections (>%d sec)", expired, IDLE_S)
                awaited = expired
        with self._closed:
            self._closed.wait_for(lambda: self._expired_closed - before >= awaited, _CLOSE_WAIT_S)
            return self._expired_closed > before

    def retried(self, call: Callable[[], _T]) -> _T:
        """Call; when descriptors or memory ran out, make room and call once more."""
        try:
            return call()
        except OSError as error:
            if error.errno not in _PRESSURE:
                raise
        self.relieve()
        return call()

    def relieve_accept(self, error: OSError) -> bool:
        """Do the same for an acceptor, and log why, once a second at most."""
        with self._lock:
            now = monotonic()
            complain = now - self._complained_at >= _SWEEP_INTERVAL_S
            if complain:
                self._complained_at = now
        if complain:
            _log.error("accept failed: %s", error.strerror)
        return self.relieve()

    def note_opened(self) -> None:
        """Count a connection in; called by whoever makes one."""
        with self._lock:
            self._open += 1

    def note_closed(self, connection: Connection) -> None:
        """Count a connection out; called by each as it closes."""
        with self._closed:
            self._open -= 1
            if connection.expired:
                self._expired_closed += 1
            self._closed.notify_all()

    def count(self) -> int:
        """Return the number of open connections."""
        with self._lock:
            return self._open

    def drain(
        self,
        on_round: Callable[[int], None] = lambda _: None,
        deadline: float | None = None,
    ) -> bool:
        """Return once every client has gone; those that wait idly are sent away.

        False says that some are left at the `deadline`, a time of the monotonic clock.

        The services are draining and nobody accepts any more. A connection may become
        idle just after it was looked at, so this looks again from time to time, and calls
        `on_round` with the number of clients that are left.
        """
        while count := self.count():
            if deadline is not None and monotonic() >= deadline:
                return False
            on_round(count)
            self._pool.kick(lambda connection: connection.is_settled())
            with self._closed:
                self._closed.wait_for(lambda: not self._open, _DRAIN_INTERVAL_S)
        return True

    def dismiss(self, timeout_s: float) -> None:
        """Hang up on everybody, and wait a little for those who can be closed."""
        self._pool.kick(lambda _: True, Connection.hang_up)
        with self._closed:
            self._closed.wait_for(lambda: not self._open, timeout_s)


def _expire(connection: Connection) -> None:
    connection.expired = True
    connection.hang_up()


def _is_expirable(connection: Connection) -> bool:
    return connection.may_expire and not connection.expired and connection.has_been_silent(IDLE_S)


class Lingerers:
    """Connections that wait for their client to read a last answer, each for so long.

    **Threads:** any. `_lock` guards the line. The one thread behind it starts with the
    first lingerer, since most processes never have one.
    """

    def __init__(self, pool: WorkerPool[Connection, Workspace], linger_s: float) -> None:
        self._pool = pool
        self._linger_s = linger_s
        self._line: deque[tuple[float, Connection]] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, connection: Connection) -> None:
        """End `connection` when its time is over, unless it has ended by then."""
        with self._changed:
            self._line.append((monotonic() + self._linger_s, connection))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lingerers", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and not self._line:
                    self._changed.wait()
                if self._stopped:
                    return
                self._changed.wait(max(0.0, self._line[0][0] - monotonic()))
                late = self._take_late()
            if late:
                self._pool.kick(late.__contains__, Connection.hang_up)
                self._expect(late)

    def _take_late(self) -> set[Connection]:
        late = set()
        now = monotonic()
        while self._line and self._line[0][0] <= now:
            late.add(self._line.popleft()[1])
        return late

    def _expect(self, late: set[Connection]) -> None:
        """Look again soon after those that may have been in a step just now."""
        with self._changed:
            for connection in late:
                if connection.fileno() >= 0:
                    self._line.append((monotonic() + self._linger_s, connection))
