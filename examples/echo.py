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


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with (
    open_poller() as poller,
    WorkerPool(poller, threads=8) as pool,
    Acceptor(listener, lambda connection, _address: pool.add(Echo(connection))),
):
    print("echo on port", listener.getsockname()[1], flush=True)
    sys.stdin.read()
