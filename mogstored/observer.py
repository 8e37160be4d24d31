"""Answer the admin process: a thread of a serving process that sends snapshots of its counters.

The admin process asks by a byte, and the answer is a message with the snapshot. When the observer
stops it sends a last one unasked, so that what was counted meanwhile is not lost. A stream without
an owner on the other side ends the thread.

A byte that comes with a descriptor brings the stream to use from now on: the admin process was
replaced, and the leading process, which has a copy of its end, passes the new one.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

from mogpoll.threads import start_thread
from mogstored.observability.frames import frame

_log = logging.getLogger("mogstored")

REQUEST = b"?"

# How long the last snapshot may wait for the admin process to read it, and a stop for that.
_LAST_S = 0.5


class Observer:
    """Answers on `sock`, one end of a stream socket pair, which it owns; `collect` is called
    for each answer, and returns an encoded `ProcessSnapshot`.

    **Threads:** `start` and `stop` are for the main thread; `collect` is called by the observer's.
    """

    def __init__(self, sock: socket.socket, collect: Callable[[], bytes]) -> None:
        self._sock = sock
        self._collect = collect
        self._is_stopping = False
        self._is_over = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread.

        **Raises:** `ThreadRefused`.
        """
        self._sock.settimeout(None)
        self._thread = start_thread(self._run, "observer", lasting=True)

    def stop(self) -> None:
        """Send a last snapshot and end; waits for half a second at most."""
        self._is_stopping = True
        if self._thread is None:
            return
        try:
            # Wakes the thread, which can still send.
            self._sock.shutdown(socket.SHUT_RD)
        except OSError:
            # It has ended already.
            return
        self._thread.join(_LAST_S)

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._serve()
            except OSError as error:
                # Not read any more. Half an answer may be sent, so the next needs a new stream.
                _log.debug("observer: %s", error)
        self._sock.close()

    def _serve(self) -> None:
        """Answer, until a stream has taken the place of this one or there is none.

        **Raises:** `OSError`.
        """
        while True:
            request, fds, _, _ = socket.recv_fds(self._sock, 1, 1)
            if fds:
                with self._sock:
                    self._sock = socket.socket(fileno=fds[0])
                # A stop may have shut down the one before.
                self._is_over = self._is_stopping
                return
            if not request:
                self._is_over = True
                break
            # Anything else came with a stream that this process had no descriptor for. It will
            # be sent another.
            if request == REQUEST:
                self._send(None)
        if self._is_stopping:
            self._send(_LAST_S)

    def _send(self, timeout_s: float | None) -> None:
        try:
            data = frame(self._collect())
        except Exception:
            # The admin process has the snapshot before it.
            _log.exception("a snapshot of the counters failed")
            return
        self._sock.settimeout(timeout_s)
        self._sock.sendall(data)
