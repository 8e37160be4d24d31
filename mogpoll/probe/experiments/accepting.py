"""Listeners: which waiter gets a connection, and the flags of an accepted socket."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mogpoll.acceptor import Acceptor
from mogpoll.probe.experiment import Answer, Finding, Unavailable, experiment
from mogpoll.probe.sleeping import settle
from mogpoll.probe.sockets import connect, listener
from mogpoll.probe.waiters import (
    PATIENCE_S,
    Waiter,
    figures,
    name_of_order,
    name_of_spread,
    order_of_service,
    processes,
)

_libc = ctypes.CDLL(None, use_errno=True)
_PROCESSES = 4
_CONNECTIONS = 40


@experiment(
    "accept-order-threads", "four threads in accept, clients connect one by one: order of service"
)
def order_of_threads() -> Answer:
    with listener() as listening, _closing() as keep:
        order = order_of_service(
            lambda: keep(listening.accept()[0]), lambda _: keep(connect(listening)), waiters=4
        )
        return Finding(name_of_order(order, 4), f"connections of each: {figures(order, 4)}")


@experiment(
    "accept-order-processes",
    "mogpoll: an Acceptor in each of four processes, 40 clients one by one: distribution",
    relied_on=("even",),
)
def order_of_processes() -> Answer:
    with listener() as listening:
        taken = _served_by_processes(listening)
    counts = [taken.count(number) for number in range(_PROCESSES)]
    return Finding(name_of_spread(counts), f"connections of each: {figures(taken, _PROCESSES)}")


def _served_by_processes(listening: socket.socket) -> list[int]:
    """Connect one by one; return the numbers of the processes that accepted."""
    reader, writer = os.pipe()

    def main(number: int) -> None:
        _accept_for_ever(listening, lambda: os.write(writer, bytes([number])))

    taken: list[int] = []
    with processes(_PROCESSES, main) as pids, _closing() as keep:
        for pid in pids:
            _settle(pid)
        for _ in range(_CONNECTIONS):
            keep(connect(listening))
            if not select.select([reader], [], [], PATIENCE_S)[0]:
                break
            taken += os.read(reader, 1)
            _settle(pids[taken[-1]])
    os.close(reader)
    os.close(writer)
    return taken


def _accept_for_ever(listening: socket.socket, report: Callable[[], object]) -> None:
    kept = []

    def keep(connection: socket.socket, _address: object) -> None:
        kept.append(connection)
        report()

    Acceptor(listening, keep).start()
    threading.Event().wait()


@contextmanager
def _closing() -> Iterator[Callable[[socket.socket], None]]:
    kept: list[socket.socket] = []
    try:
        yield kept.append
    finally:
        for connection in kept:
            connection.close()


def _settle(pid: int) -> None:
    """Wait until the acceptor's thread of a process, its second one, sleeps."""
    threads = [pid]
    while len(threads) < 2:
        try:
            threads = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
        except OSError:
            # No /proc.
            break
    settle(threads[-1], pid)


@experiment(
    "accept-flags",
    "accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC: is the socket non-blocking, close-on-exec",
)
def flags_of_accept4() -> Answer:
    if not hasattr(_libc, "accept4"):
        raise Unavailable("there is no accept4")
    with listener() as listening, connect(listening):
        wanted = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        fd = _libc.accept4(listening.fileno(), None, None, wanted)
        return [not os.get_blocking(fd), not os.get_inheritable(fd)]


@experiment(
    "accept-inherits-nonblock", "accept on a non-blocking listener: is the socket non-blocking"
)
def inherited_flag() -> Answer:
    with listener() as listening, connect(listening):
        select.select([listening], [], [], PATIENCE_S)
        listening.setblocking(False)
        fd = _libc.accept(listening.fileno(), None, None)
        return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


@experiment(
    "accepted-is-non-blocking",
    "mogpoll: an accepted socket: is it non-blocking, close-on-exec",
    relied_on=([True, True],),
)
def accepted_through_an_acceptor() -> Answer:
    flags: list[list[bool]] = []
    with listener() as listening:

        def look(connection: socket.socket, _address: object) -> None:
            fd = connection.fileno()
            flags.append([not os.get_blocking(fd), not os.get_inheritable(fd)])

        acceptor = Acceptor(listening, look)
        acceptor.start()
        with connect(listening) as client:
            client.settimeout(PATIENCE_S)
            # The acceptor has dropped its end, so this returns end of file.
            client.recv(1)
        Waiter(acceptor.stop).returned()
    return flags[0] if flags else "nothing was passed on"


@experiment("reuseport", "SO_REUSEPORT, two listeners on one port: 100 connections are")
def two_listeners_on_one_port() -> Answer:
    if not hasattr(socket, "SO_REUSEPORT"):
        raise Unavailable("there is no SO_REUSEPORT")
    with socket.socket() as one, socket.socket() as two:
        for listening in (one, two):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(("127.0.0.1", 0) if listening is one else one.getsockname())
            listening.listen(128)
        kept = [connect(one) for _ in range(100)]
        counts = [_backlog_of(listening) for listening in (one, two)]
        for client in kept:
            client.close()
        # Distributed by a hash: close to even.
        spread = "spread" if min(counts) >= 20 else "not spread"
        return Finding(spread, f"connections of each: {counts}")


def _backlog_of(listening: socket.socket) -> int:
    listening.setblocking(False)
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@experiment("reuseport-lb", "does Python have SO_REUSEPORT_LB, which balances on FreeBSD")
def load_balanced_option() -> Answer:
    return hasattr(socket, "SO_REUSEPORT_LB")


@experiment(
    "closed-port-refuses",
    "connecting to a closed port",
    relied_on=("ECONNREFUSED",),
)
def closed_port() -> Answer:
    with listener() as listening:
        address = listening.getsockname()
    with socket.socket() as client:
        client.settimeout(PATIENCE_S)
        try:
            client.connect(address)
        except ConnectionRefusedError:
            return "ECONNREFUSED"
        except TimeoutError:
            # net.inet.tcp.blackhole
            return "no answer"
    return "accepted"
