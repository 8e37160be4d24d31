"""A chat: a line that one client sends, all others receive.

A step touches its own socket only. For another client it puts the line into that one's outbox and
notifies it; a notification is never lost, whatever that client does at the moment.
"""

import socket
import sys
from collections import deque

from mogpoll import Acceptor, Next, Reason, WorkerPool, open_poller

MAX_LINE, MAX_BEHIND = 4096, 10_000  # bytes; lines that a client has not read


class Client:
    def __init__(self, connection: socket.socket) -> None:
        self.fileno = connection.fileno
        self._connection = connection
        self._outbox: deque[bytes] = deque()
        self._begun_line = self._unsent = b""

    def step(self, _workspace: None) -> Next:
        try:
            # One that is notified has something to send; what it may receive makes an event.
            if pool.reason is Reason.READY and not self._receive():
                return Next.CLOSE
            return self._send()
        except ConnectionError:
            return Next.CLOSE

    def close(self) -> None:
        clients.discard(self)
        self._connection.close()

    def hear(self, line: bytes) -> None:
        """Called by other clients' steps."""
        self._outbox.append(line)
        wake = pool.notify if len(self._outbox) < MAX_BEHIND else pool.close
        wake(self)

    def _receive(self) -> bool:
        try:
            received = self._connection.recv(65536)
        except BlockingIOError:
            return True
        *lines, self._begun_line = (self._begun_line + received).split(b"\n")
        for line in lines:
            # Copying a set is atomic, with and without the interpreter lock.
            for other in clients.copy() - {self}:
                other.hear(line + b"\n")
        return received != b"" and len(self._begun_line) <= MAX_LINE

    def _send(self) -> Next:
        while self._unsent or self._outbox:
            if not self._unsent:
                self._unsent = b"".join(self._outbox.popleft() for _ in range(len(self._outbox)))
            try:
                self._unsent = self._unsent[self._connection.send(self._unsent) :]
            except BlockingIOError:
                return Next.READ_WRITE
        return Next.READ


def welcome(connection: socket.socket, _address: object) -> None:
    client = Client(connection)
    clients.add(client)
    pool.add(client)


clients: set[Client] = set()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
with (
    open_poller() as poller,
    WorkerPool[Client, None](poller, threads=4) as pool,
    Acceptor(listener, welcome),
):
    print("chat on port", listener.getsockname()[1], flush=True)
    sys.stdin.read()
