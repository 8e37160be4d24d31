"""An echo server over TLS: each operation may want the other direction."""

import socket
import ssl
import sys

from mogpoll import Acceptor, Next, WorkerPool, open_poller


class Echo:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        self.fileno, self.close = self._connection.fileno, self._connection.close
        self._is_open, self._unsent = False, b""

    def step(self, _workspace: None) -> Next:
        try:
            if not self._is_open:
                self._connection.do_handshake()
                self._is_open = True
            # Until one operation wants the socket: bytes that are decrypted already make no event.
            while True:
                self._unsent = self._unsent or self._connection.recv(65536)
                if not self._unsent:
                    return Next.CLOSE
                self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except ssl.SSLWantReadError:
            return Next.READ
        except ssl.SSLWantWriteError:
            return Next.WRITE
        except OSError:
            return Next.CLOSE


def welcome(connection: socket.socket, _address: object) -> None:
    try:
        pool.add(Echo(connection))
    except OSError:
        # It was reset before it was wrapped.
        connection.close()


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certfile=sys.argv[2], keyfile=sys.argv[3])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
with (
    open_poller() as poller,
    WorkerPool[Echo, None](poller, threads=8) as pool,
    Acceptor(listener, welcome),
):
    print("TLS echo on port", listener.getsockname()[1], flush=True)
    sys.stdin.read()
