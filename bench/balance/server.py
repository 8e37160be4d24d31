"""A process that answers short and long requests from one queue.

`python -m bench.balance.server LISTENER NUMBER THREADS LONG_S`. A client is greeted with the
number, then asks with one byte and is answered with the same byte: SHORT at once, LONG after the
thread has slept as it would in a read from a disk, without the interpreter lock. Every thread
waits on the process's one poller for one event, answers it, and arms again: with one thread that
is an event loop. The process ends with its input.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

from mogpoll import Acceptor, Interest, open_poller

SHORT, LONG = b"s", b"l"


def main(listener: socket.socket, number: int, threads: int, long_s: float) -> None:
    server = _Server(long_s)
    for _ in range(threads):
        threading.Thread(target=server.serve, daemon=True).start()
    Acceptor(listener, lambda connection: server.take(connection, number)).start()
    for _ in sys.stdin:
        print(json.dumps(server.count()), flush=True)
    # Daemon threads sleep in the kernel: no reason to wait for them.
    os._exit(0)


class _Server:
    """**Threads:** the table is touched by single operations, an entry by the event's owner."""

    def __init__(self, long_s: float) -> None:
        self._long_s = long_s
        self._poller = open_poller()
        self._connections: dict[int, socket.socket] = {}

    def take(self, connection: socket.socket, number: int) -> None:
        self._connections[connection.fileno()] = connection
        connection.send(bytes([number]))
        self._poller.add(connection.fileno(), Interest.READ)

    def serve(self) -> None:
        wait, rearm = self._poller.wait, self._poller.rearm
        while True:
            # Without a time-out there is always an event.
            fd = wait()[0]  # type: ignore[index]
            if self._answer(self._connections[fd]):
                rearm(fd, Interest.READ)
            else:
                self._poller.forget(fd)
                self._connections.pop(fd).close()

    def _answer(self, connection: socket.socket) -> bool:
        """Answer one request; False when the client has gone."""
        try:
            request = connection.recv(1)
        except BlockingIOError:
            return True  # an event is a hint
        if request == LONG:
            time.sleep(self._long_s)
        if request:
            connection.send(request)
        return bool(request)

    def count(self) -> int:
        return len(self._connections)


if __name__ == "__main__":
    main(
        socket.socket(fileno=int(sys.argv[1])),
        int(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
    )
