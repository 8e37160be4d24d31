"""Busy keep-alive clients in one loop: `python -m bench.life.clients PORT PATH COUNT`.

Each asks for the same file again and again, and gives its connection up only after an answer
that says `Connection: close`. Whatever else ends a connection, and every answer that is late or
wrong, is a lost request.

Commands: `report` is answered with what was done since the start and lost since the last report;
`finish` with the same when every request has been answered or lost, and then this ends.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import sys
import time

from bench.life.node import CONTENT

_LATE_S = 10.0
_LOOK_S = 0.5
_STDIN = 0
_READ = selectors.EVENT_READ


class Lost(Exception):
    """A request that was not answered as it must be."""


class Client:
    """One client and its connection; `sock` is None when it is done."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.answered = 0
        self.connections = 0
        self.asked_at = 0.0
        self.sock: socket.socket | None = None
        self._answer = b""

    def connect(self) -> None:
        """Open a connection; the first request follows when it stands."""
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.connections += 1
        self._answer = b""
        self.asked_at = time.monotonic()
        self.sock.connect_ex(self._loop.address)
        self._loop.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def step(self, mask: int) -> None:
        assert self.sock is not None
        try:
            if mask & _READ:
                self._receive(self.sock)
            else:
                self._check_connected(self.sock)
                self._loop.selector.modify(self.sock, _READ, self)
                self._ask(self.sock)
        except (OSError, Lost) as reason:
            self.lose(reason)

    def lose(self, reason: Exception) -> None:
        """Note the loss, and begin anew."""
        assert self.sock is not None
        self._loop.lost.append([self.sock.getsockname()[1], str(reason)])
        self._go_on()

    def close(self) -> None:
        if self.sock is not None:
            self._loop.selector.unregister(self.sock)
            self.sock.close()
            self.sock = None

    def _check_connected(self, sock: socket.socket) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise Lost(f"connect: {errno.errorcode[code]}")

    def _ask(self, sock: socket.socket) -> None:
        self.asked_at = time.monotonic()
        sock.sendall(self._loop.request)

    def _receive(self, sock: socket.socket) -> None:
        piece = sock.recv(4096)
        if not piece:
            raise Lost(f"closed after {self._answer!r}")
        self._answer += piece
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < len(CONTENT):
            return
        if not head.startswith(b"HTTP/1.1 200 ") or body != CONTENT:
            raise Lost(f"wrong answer: {self._answer!r}")
        self.answered += 1
        self._answer = b""
        if b"\r\nconnection: close" in head.lower():
            self._go_on()
        elif self._loop.is_finishing:
            self.close()
        else:
            self._ask(sock)

    def _go_on(self) -> None:
        self.close()
        if not self._loop.is_finishing:
            self.connect()


class Loop:
    """All clients, and whoever gives the commands."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self.address = ("127.0.0.1", port)
        self.request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        self.selector = selectors.DefaultSelector()
        self.lost: list[list[object]] = []
        self.is_finishing = False
        self._clients = [Client(self) for _ in range(count)]

    def run(self) -> None:
        self.selector.register(_STDIN, _READ)
        for client in self._clients:
            client.connect()
        while not (self.is_finishing and all(client.sock is None for client in self._clients)):
            for key, mask in self.selector.select(_LOOK_S):
                if key.data is None:
                    self._obey(os.read(_STDIN, 100))
                elif key.data.sock is key.fileobj:
                    key.data.step(mask)
            self._lose_late()
        self._report()

    def _obey(self, command: bytes) -> None:
        if command == b"report\n":
            self._report()
        elif command == b"finish\n":
            self.is_finishing = True
        else:
            sys.exit()

    def _lose_late(self) -> None:
        late = time.monotonic() - _LATE_S
        for client in self._clients:
            if client.sock is not None and client.asked_at < late:
                client.lose(Lost(f"no answer within {_LATE_S:g} s"))

    def _report(self) -> None:
        report = {
            "answered": [client.answered for client in self._clients],
            "connections": sum(client.connections for client in self._clients),
            "lost": self.lost,
        }
        print(json.dumps(report), flush=True)
        self.lost = []


if __name__ == "__main__":
    Loop(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])).run()
