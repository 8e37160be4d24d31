"""A server that a signal ends in good order: clients that are served are answered first.

The threads of mogpoll block signals, so the main thread alone receives them, by `sigwait`.
"""

import signal
import socket
import sys
import time

from mogpoll import Acceptor, Next, WorkerPool, open_poller

STOP = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 10


class Clock:
    """Answers each line with the time."""

    def __init__(self, connection: socket.socket) -> None:
        self.fileno, self.close = connection.fileno, connection.close
        self._connection = connection

    def step(self, _workspace: None) -> Next:
        try:
            if not self._connection.recv(4096):
                return Next.CLOSE
            # So short an answer fits into the buffer of a client that reads.
            self._connection.send(f"{time.ctime()}\n".encode())
        except BlockingIOError:
            return Next.READ
        except ConnectionError:
            return Next.CLOSE
        return Next.READ


signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
poller = open_poller()
pool = WorkerPool[Clock, None](poller, threads=4)
acceptor = Acceptor(listener, lambda connection, _address: pool.add(Clock(connection)))
acceptor.start()
print("time on port", listener.getsockname()[1], flush=True)

print("stopping:", signal.strsignal(signal.sigwait(STOP)), flush=True)
acceptor.stop()
listener.close()
# Steps that run end; waiting clients are closed.
if not pool.stop(timeout_s=GRACE_S):
    print("a step has not ended in time", file=sys.stderr)
    sys.exit(1)
poller.close()
