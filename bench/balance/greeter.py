"""A process that accepts in one way: `python -m bench.balance.greeter WAY LISTENER NUMBER`.

It sends its number to whoever it has accepted, keeps the connection, and does nothing else with
it. Each line on its input is answered with how many it has, and these are closed then; at the end
of its input the process ends. It may open as many files as the one that started it.

A poller tells of the listener until it is empty, so one connection is taken each time: then the
others have their chance, too.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

from bench.balance import ways
from bench.balance.ways import Way
from mogpoll import Acceptor


def main(way: Way, listener: socket.socket, number: int) -> None:
    greeting = bytes([number])
    held: list[socket.socket] = []

    def take(connection: socket.socket) -> None:
        held.append(connection)
        connection.send(greeting)

    def poll_and_accept() -> None:
        wait = ways.waiter(way, listener)
        while True:
            wait()
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                continue  # another process was faster
            take(connection)

    if way is Way.BLOCKING:
        Acceptor(listener, take).start()
    else:
        threading.Thread(target=poll_and_accept, daemon=True).start()
    for _ in sys.stdin:
        taken = len(held)
        while held:
            held.pop().close()
        print(json.dumps(taken), flush=True)
    # Daemon threads sleep in the kernel: no reason to wait for them.
    os._exit(0)


if __name__ == "__main__":
    main(Way[sys.argv[1]], socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3]))
