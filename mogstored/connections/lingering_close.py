"""Lingering closes: connections that wait a while for their client to read the last answer.

A close with unread data resets the connection, and a reset may destroy an answer that the client
has not read (RFC 9112, 9.6). Such a connection reads on until the client closes, or its time is
up.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import takewhile
from time import monotonic

from mogpoll import WorkerPool
from mogpoll.threads import start_thread
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection


class LingeringClose:
    """Disconnects lingering clients after `linger_s` seconds.

    **Threads:** any. `_lock` guards the queue.
    """

    def __init__(self, pool: WorkerPool[Connection, Buffers], linger_s: float) -> None:
        self._pool = pool
        self._linger_s = linger_s
        self._queue: deque[tuple[float, Connection]] = deque()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start its thread.

        **Raises:** `ThreadRefused`.
        """
        self._thread = start_thread(self._run, "lingering-close", lasting=True)

    def add(self, connection: Connection) -> None:
        """Disconnect `connection` when its time is up, unless it has been closed by then."""
        with self._changed:
            self._queue.append((monotonic() + self._linger_s, connection))
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and not self._queue:
                    self._changed.wait()
                if self._stopped:
                    return
                self._changed.wait(max(0.0, self._queue[0][0] - monotonic()))
                expired = self._expired()
            if expired:
                self._pool.step_now(set(expired).__contains__, Connection.hang_up)
                self._requeue(len(expired))

    def _expired(self) -> list[Connection]:
        now = monotonic()
        return [each for _, each in takewhile(lambda entry: entry[0] <= now, self._queue)]

    def _requeue(self, count: int) -> None:
        """Requeue those of the first `count` that are still open: a worker was stepping them."""
        with self._changed:
            for _ in range(count):
                _, connection = self._queue.popleft()
                if connection.fileno() >= 0:
                    self._queue.append((monotonic() + self._linger_s, connection))
