"""What ends a blocked accept, and what a signal to a thread does."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import threading

from mogpoll.acceptor import Acceptor
from mogpoll.probe.experiment import Answer, experiment, name_of_errno
from mogpoll.probe.sockets import connect, listener
from mogpoll.probe.waiters import PATIENCE_S, Waiter
from mogpoll.stopping import POKE_SIGNAL, install_poke_handler

_libc = ctypes.CDLL(None, use_errno=True)
_WAITS_ON = "waits on"


def accept_in_c(listening: socket.socket) -> str:
    """Block in the C library's accept; return its outcome."""
    fd = _libc.accept(listening.fileno(), None, None)
    if fd < 0:
        return name_of_errno(ctypes.get_errno())
    os.close(fd)
    return "a connection"


def accept_in_python(listening: socket.socket) -> str:
    try:
        listening.accept()[0].close()
    except OSError as error:
        return name_of_errno(error.errno)
    return "a connection"


def poke(waiter: Waiter, times: int) -> Answer:
    """Signal the thread up to `times` times; return the outcome of its call."""
    for _ in range(times):
        assert waiter.ident is not None
        # A thread that has returned may have ended: do not signal it (n23).
        if waiter.returned(0.02):
            break
        signal.pthread_kill(waiter.ident, POKE_SIGNAL)
    return waiter.result if waiter.returned(0.1) else _WAITS_ON


@experiment(
    "signal-ends-accept-in-c",
    "accept by ctypes, its thread gets a handled signal: outcome",
    relied_on=("EINTR",),
)
def signal_to_accept_in_c() -> Answer:
    install_poke_handler()
    with listener() as listening:
        return poke(Waiter(lambda: accept_in_c(listening)).settle(), times=20)


@experiment(
    "ignored-signal-ends-accept",
    "accept by ctypes, its thread gets a signal without a handler: outcome",
)
def signal_without_handler() -> Answer:
    signal.signal(POKE_SIGNAL, signal.SIG_DFL)
    with listener() as listening:
        return poke(Waiter(lambda: accept_in_c(listening)).settle(), times=5)


@experiment(
    "signal-ends-accept-in-python",
    "accept by Python, its thread gets a handled signal: outcome",
)
def signal_to_accept_in_python() -> Answer:
    install_poke_handler()
    with listener() as listening:
        return poke(Waiter(lambda: accept_in_python(listening)).settle(), times=5)


@experiment(
    "acceptor-stops", "mogpoll: stopping an Acceptor that blocks in accept", relied_on=("stopped",)
)
def stop_of_an_acceptor() -> Answer:
    with listener() as listening:
        acceptor = Acceptor(listening, lambda connection, _: connection.close())
        acceptor.start()
        stopper = Waiter(acceptor.stop)
        return "stopped" if stopper.returned() and not acceptor.is_alive() else _WAITS_ON


@experiment("close-ends-accept", "accept, another thread closes the listener: outcome")
def close_of_the_listener() -> Answer:
    listening = listener()
    waiter = Waiter(lambda: accept_in_python(listening)).settle()
    # Not through the socket object, which may delay the close until accept returns.
    closer = Waiter(lambda: os.close(listening.fileno()))
    if not closer.returned(0.5):
        return "waits on, and so does close"
    return waiter.result if waiter.returned(0.5) else _WAITS_ON


@experiment(
    "shutdown-ends-accept",
    "three threads in accept, another shuts the listener down: its outcome, and theirs",
)
def shutdown_of_the_listener() -> Answer:
    with listener() as listening:
        waiters = [Waiter(lambda: accept_in_python(listening)).settle() for _ in range(3)]
        try:
            listening.shutdown(socket.SHUT_RDWR)
            own = "no error"
        except OSError as error:
            own = name_of_errno(error.errno)
        return [own, *(waiter.result if waiter.returned(0.3) else _WAITS_ON for waiter in waiters)]


@experiment("timeout-ends-accept", "accept on a listener with SO_RCVTIMEO: outcome")
def receive_timeout_of_the_listener() -> Answer:
    with listener() as listening:
        tenth_of_a_second = struct.pack("ll", 0, 100_000)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, tenth_of_a_second)
        waiter = Waiter(lambda: accept_in_python(listening))
        return waiter.result if waiter.returned(1.0) else _WAITS_ON


@experiment(
    "connection-ends-accept", "accept, a client connects: outcome", relied_on=("a connection",)
)
def connection_to_the_listener() -> Answer:
    with listener() as listening:
        waiter = Waiter(lambda: accept_in_c(listening)).settle()
        with connect(listening):
            return waiter.result if waiter.returned() else _WAITS_ON


@experiment(
    "handler-runs-in-main-thread",
    "a signal to another thread: does its Python handler run in the main thread",
    relied_on=(True,),
)
def thread_of_the_handler() -> Answer:
    ran_in: list[threading.Thread] = []
    ran = threading.Event()

    def note(*_: object) -> None:
        ran_in.append(threading.current_thread())
        ran.set()

    signal.signal(POKE_SIGNAL, note)
    over = threading.Event()
    waiter = Waiter(over.wait)
    assert waiter.ident is not None
    signal.pthread_kill(waiter.ident, POKE_SIGNAL)
    ran.wait(PATIENCE_S)
    over.set()
    return ran_in == [threading.main_thread()]
