"""Ends the connections whose clients take longer than they may.

One thread looks at all connections that wait in the poller, four times in the shortest limit. What
a client does not cause does not count: a connection that waits for a device, or that a thread
steps, is not in the poller, and one that is ready is left to the threads, which may be late.

A look at 10,000 connections that are in time takes 0.3 ms; with a deadline of the pool for each
(`WorkerPool.set_deadline`), every step would take 2 us more, and new limits would miss those that
wait already.
"""

from __future__ import annotations

import select
import socket
import threading
from time import monotonic

from mogpoll import WorkerPool
from mogpoll.system.tcpinfo import undelivered
from mogpoll.threads import start_thread, try_start_thread
from mogstored.connections.buffers import Buffers
from mogstored.connections.connection import Connection
from mogstored.connections.time_limits import TimeLimits, Wait

# How often the connections are looked at: so many times in the shortest limit, and at most once
# in these seconds.
_LOOKS = 4
_MIN_INTERVAL_S = 0.25

# An idle client that still reads its last answer is given so many seconds more. The node has
# promised to keep the connection, and a request that crosses its end may cost the answer.
_TAKING_S = 60.0


_NO_LIMITS = TimeLimits()


class TimeOuts:
    """Sweeps the connections of a pool; without limits it has no thread.

    **Threads:** any. `_changed` guards `_limits`, `_thread` and `_runs`.
    """

    def __init__(
        self, pool: WorkerPool[Connection, Buffers], limits: TimeLimits = _NO_LIMITS
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._runs = False

    def start(self) -> None:
        """Start its thread, if there is a limit.

        **Raises:** `ThreadRefused`.
        """
        with self._changed:
            self._runs = True
            if self._limits.shortest() is not None:
                self._thread = start_thread(self._run, "time-outs", lasting=True)

    def apply(self, limits: TimeLimits) -> None:
        """Use other limits from now on, or as soon as the system has a thread for them."""
        with self._changed:
            self._limits = limits
            self._changed.notify()
        self.start_missing()

    def start_missing(self) -> None:
        """Start the thread if it is needed and the system has refused it; called once a second."""
        with self._changed:
            if self._runs and self._thread is None and self._limits.shortest() is not None:
                self._thread = try_start_thread(self._run, "time-outs", lasting=True)

    def stop(self) -> None:
        with self._changed:
            self._runs = False
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def sweep(self) -> int:
        """End what is overdue now; return the number of connections."""
        limits = self._limits
        shortest = limits.shortest()
        if shortest is None:
            return 0
        before = monotonic() - shortest
        # Most of many connections are idle. A head that trickles in is not silent.
        silent = [
            each
            for each in self._pool.waiting_tasks()
            if each.active_at < before or each.head_since
        ]
        overdue = {each for each in silent if _overdue(each, limits) is not None}
        if not overdue:
            return 0
        return self._pool.step_now(overdue.__contains__, lambda each: _end(each, limits))

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._runs:
                    self._changed.wait(_interval_s(self._limits))
                if not self._runs:
                    return
            self.sweep()


def _interval_s(limits: TimeLimits) -> float | None:
    shortest = limits.shortest()
    return None if shortest is None else max(_MIN_INTERVAL_S, shortest / _LOOKS)


def _overdue(connection: Connection, limits: TimeLimits) -> tuple[Wait, int] | None:
    """Return what a client is late with, and the limit; None if it is in time."""
    waits = connection.waits()
    if waits is None:
        return None
    wait, since = waits
    limit = limits.limit(wait)
    if limit is None or (silence_s := monotonic() - since) <= limit:
        return None
    if _is_ready(connection.sock, wait):
        return None
    if wait is Wait.IDLE and undelivered(connection.sock):
        taking_s = _TAKING_S if limits.send_s is None else limits.send_s
        if silence_s <= limit + taking_s:
            return None
    return wait, limit


def _is_ready(sock: socket.socket, wait: Wait) -> bool:
    """Say whether the client has done its part, and its connection waits for a thread.

    Also for one that its owner closes in this instant.
    """
    try:
        if wait is Wait.SEND:
            looked_at = select.poll()
            looked_at.register(sock, select.POLLOUT)
            return bool(looked_at.poll(0))
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        return True
    return True


def _end(connection: Connection, limits: TimeLimits) -> None:
    """End it as its owner, unless a thread has gone on with it since."""
    overdue = _overdue(connection, limits)
    if overdue is not None:
        connection.time_out(*overdue)
