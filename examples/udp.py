"""A UDP echo server: several sockets on one port are as many tasks."""

import socket
import sys

from mogpoll import Next, WorkerPool, open_poller

# Other tasks get their turn after so many datagrams.
TURN = 64


class Echo:
    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.fileno, self.close = self._socket.fileno, self._socket.close
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]

    def step(self, _workspace: None) -> Next:
        for _ in range(TURN):
            try:
                datagram, sender = self._socket.recvfrom(65536)
                self._socket.sendto(datagram, sender)
            except BlockingIOError:
                # A datagram that has no room now is lost, as on a busy network.
                return Next.READ
            except ConnectionError:
                # Of a datagram sent before: its receiver is gone.
                continue
        return Next.READ


with open_poller() as poller, WorkerPool[Echo, None](poller, threads=2) as pool:
    echo = Echo(int(sys.argv[1]))
    pool.add(echo)
    print("UDP echo on port", echo.port, flush=True)
    sys.stdin.read()
