"""An echo server: one acceptor, one shared queue, several workers."""

import socket
import sys

from mogpoll import Acceptor, Next, WorkerPool, open_poller


class Echo:
    def __init__(self, connection: socket.socket) -> None:
        self.fileno, self.close = connection.fileno, connection.close
        self._connection, self._unsent = connection, b""

    def step(self, _workspace: None) -> Next:
        try:
            self._unsent = self._unsent or self._connection.recv(65536)
            if not self._unsent:
                return Next.CLOSE
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            return Next.WRITE if self._unsent else Next.READ
        except ConnectionError:
            return Next.CLOSE
        return Next.WRITE if self._unsent else Next.READ


pool: WorkerPool[Echo, None] = WorkerPool(open_poller(), threads=8)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
acceptor = Acceptor(listener, lambda connection: pool.add(Echo(connection)))
acceptor.start()
print("echo on port", listener.getsockname()[1], flush=True)
sys.stdin.read()
acceptor.stop()
pool.stop()
