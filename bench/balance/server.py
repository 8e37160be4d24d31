"""A process that accepts in one way, and answers short and long requests from one queue.

`python -m bench.balance.server WAY LISTENER NUMBER THREADS`. A client is greeted with the number,
then asks with one byte and is answered with the same byte: SHORT at once, LONG after the thread
has slept as it would in a read from a disk, without the interpreter lock. Every thread waits on
the process's one poller for one event, answers it, and arms again: with one thread that is an
event loop. Without threads connections are only kept. A line of input is answered with their
number; those that are only kept are closed then.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

from bench.balance import ways
from bench.balance.ways import Way
from bench.load.child import serve
from mogpoll import Acceptor, Interest, open_poller

SHORT, LONG = b"s", b"l"
# As long as a seek of a disk, or a few.
LONG_S = 0.02


class _Server:
    """**Threads:** the table is touched by single operations, an entry by the event's owner."""

    def __init__(self, number: int, threads: int) -> None:
        self._greeting = bytes([number])
        self._poller = open_poller()
        self._threads = threads
        self._connections: dict[int, socket.socket] = {}

    def start(self, way: Way, listener: socket.socket) -> None:
        for _ in range(self._threads):
            threading.Thread(target=self._serve, daemon=True).start()
        if way is Way.BLOCKING:
            Acceptor(listener, lambda connection, _: self._take(connection)).start()
        else:
            threading.Thread(target=self._accept, args=(way, listener), daemon=True).start()

    def count(self, _: str) -> int:
        taken = len(self._connections)
        while not self._threads and self._connections:
            self._connections.popitem()[1].close()
        return taken

    def _accept(self, way: Way, listener: socket.socket) -> None:
        """Take one connection an event, so that the other processes have their chance."""
        wait = ways.waiter(way, listener)
        while True:
            wait()
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                continue  # another process was faster
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connections[connection.fileno()] = connection
        connection.send(self._greeting)
        if self._threads:
            self._poller.add(connection.fileno(), Interest.READ)

    def _serve(self) -> None:
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
            time.sleep(LONG_S)
        if request:
            connection.send(request)
        return bool(request)


if __name__ == "__main__":
    _way, _fd, _number, _threads = sys.argv[1:]
    _server = _Server(int(_number), int(_threads))
    _server.start(Way[_way], socket.socket(fileno=int(_fd)))
    serve(_server.count)
