"""What an acceptor passes on, and which failures it survives."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mogpoll import Acceptor, acceptor, threads
from mogpoll.threads import RareLog
from tests.mogpoll.threads.acceptors import (
    ScriptedAccept,
    Sink,
    accepting,
    close,
    connect,
    stop,
    wait_until_accepting,
)
from tests.support.sockets import reset
from tests.support.threads import run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from mogpoll.acceptor import AcceptCallback, PressureCallback


# What is passed on


@pytest.mark.parametrize("has_accept4", [True, False])
def test_n29_accepted_socket_is_ready_for_use(
    listener: socket.socket,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    has_accept4: bool,
) -> None:
    if not has_accept4:
        monkeypatch.setattr(acceptor, "_HAS_ACCEPT4", False)
    with accepting(listener, sink.take), connect(listener) as client:
        (accepted,) = sink.wait_for(1)
        facts = (accepted.family, accepted.type, accepted.gettimeout(), accepted.getpeername())
        assert facts == (socket.AF_INET, socket.SOCK_STREAM, 0.0, client.getsockname())
        assert not os.get_blocking(accepted.fileno())
        assert not accepted.get_inheritable()
        with pytest.raises(BlockingIOError):
            accepted.recv(1)
        client.send(b"abc")
        assert select.select([accepted], [], [], 10)[0]
        assert accepted.recv(100) == b"abc"


@pytest.mark.skipif(sys.platform != "linux", reason="known of Linux")
def test_n29_flags_are_set_by_the_call_that_accepts() -> None:
    assert acceptor._HAS_ACCEPT4


def test_accepts_on_a_unix_listener(sink: Sink) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        path = f"/tmp/mogpoll-test-{os.getpid()}.sock"
        listener.bind(path)
        try:
            listener.listen()
            with accepting(listener, sink.take):
                client.connect(path)
                (accepted,) = sink.wait_for(1)
        finally:
            os.unlink(path)
        assert accepted.family == socket.AF_UNIX


def test_thousand_connections_from_many_clients(listener: socket.socket, sink: Sink) -> None:
    seen: set[object] = set()

    def take(connection: socket.socket, address: object) -> None:
        seen.add(address)
        connection.close()
        sink.take(connection)

    def connect_many() -> list[object]:
        names = []
        for _ in range(125):
            with connect(listener) as client:
                names.append(client.getsockname())
                # End of file: the connection was accepted, and no number is reused.
                assert client.recv(1) == b""
        return names

    with accepting(listener, take):
        names = run_all([connect_many] * 8)
    assert len(sink.sockets) == 1000
    assert seen == {name for some in names for name in some}


def test_connection_that_waited_before_the_start_is_accepted(
    listener: socket.socket, sink: Sink
) -> None:
    with connect(listener) as client, accepting(listener, sink.take):
        (accepted,) = sink.wait_for(1)
        assert accepted.getpeername() == client.getsockname()


def test_connection_that_was_reset_in_the_backlog_is_skipped(
    listener: socket.socket, sink: Sink
) -> None:
    for _ in range(3):
        reset(connect(listener))
    with accepting(listener, sink.take), connect(listener) as client:
        wait_until(
            lambda: client.getsockname() in map(peer_of, list(sink.sockets)),
            "the connection behind them is accepted",
        )


def peer_of(connection: socket.socket) -> object:
    try:
        return connection.getpeername()
    except OSError:
        return None


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="the order in which sleepers are woken is known of Linux",
)
def test_n20_sleeping_acceptors_take_turns(listener: socket.socket) -> None:
    names = [f"turn-{number}" for number in range(4)]
    order: list[str] = []
    arrived = threading.Semaphore(0)

    def take(name: str) -> AcceptCallback:
        def note(connection: socket.socket, _address: object) -> None:
            connection.close()
            order.append(name)
            arrived.release()

        return note

    with ExitStack() as stack:
        for name in names:
            made = Acceptor(listener, take(name), name=name)
            made.start()
            stack.callback(stop, made)
            wait_until_accepting(name)
        for _ in range(12):
            with connect(listener):
                assert arrived.acquire(timeout=10)
            for name in names:
                wait_until_accepting(name)
    assert order == names * 3


# Failures


@pytest.mark.parametrize(
    "number",
    [
        errno.EINTR,
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.ENETDOWN,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
    ],
    ids=lambda number: errno.errorcode[number],
)
def test_n30_error_that_concerns_no_other_connection_is_passed_over(
    listener: socket.socket, sink: Sink, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    ScriptedAccept(monkeypatch, [number] * 3)
    with accepting(listener, sink.take), connect(listener):
        sink.wait_for(1)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOTSOCK])
def test_n30_error_of_the_listener_ends_the_thread_loudly(
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    ScriptedAccept(monkeypatch, [number])
    made = Acceptor(listener, close)
    made.start()
    wait_until(lambda: not made.is_alive(), "the thread has ended")
    stop(made)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mogpoll", logging.CRITICAL)
    assert errno.errorcode[number] in record.getMessage()


PRESSURES = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]


@pytest.mark.parametrize("number", PRESSURES, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("relieved", [True, False])
def test_n30_pressure_is_reported_and_survived(
    listener: socket.socket,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    relieved: bool,
) -> None:
    ScriptedAccept(monkeypatch, [number] * 2)
    numbers: list[int | None] = []

    def on_pressure(error: OSError) -> bool:
        numbers.append(error.errno)
        return relieved

    with accepting(listener, sink.take, on_pressure), connect(listener):
        sink.wait_for(1)
    assert numbers == [number] * 2


def test_n30_pressure_is_survived_without_relief(
    listener: socket.socket, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    ScriptedAccept(monkeypatch, [errno.EMFILE] * 2)
    with accepting(listener, sink.take), connect(listener):
        sink.wait_for(1)


@pytest.mark.parametrize(
    ("relieve", "pauses"),
    [
        (None, [0.05]),
        (lambda _error: False, [0.05]),
        (lambda _error: bool(1 // 0), [0.05]),
        (lambda _error: True, []),
    ],
)
def test_n30_thread_pauses_where_pressure_was_not_relieved(
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    relieve: PressureCallback | None,
    pauses: list[float],
) -> None:
    made = Acceptor(listener, close, on_pressure=relieve)
    paused: list[float] = []
    monkeypatch.setattr(made._resumed, "wait", paused.append)
    assert made._survives(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    assert paused == pauses


def test_n30_relief_that_fails_is_logged_and_survived(
    listener: socket.socket,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ScriptedAccept(monkeypatch, [errno.EMFILE])

    def on_pressure(_: OSError) -> bool:
        raise ValueError("a fault of the caller")

    with accepting(listener, sink.take, on_pressure), connect(listener):
        sink.wait_for(1)
    (record,) = caplog.records
    assert record.getMessage() == "could not relieve the pressure"
    assert record.exc_info


def test_n30_stop_does_not_wait_for_the_end_of_pressure(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "_PRESSURE_PAUSE_S", 3600.0)
    ScriptedAccept(monkeypatch, [errno.EMFILE])
    pressed = threading.Event()

    def on_pressure(_: OSError) -> bool:
        pressed.set()
        return False

    with accepting(listener, close, on_pressure):
        assert pressed.wait(10)


OUT_OF_DESCRIPTORS = """
import os, resource, socket
from mogpoll import Acceptor

listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname(), 10)
hoard, accepted, pressures = [], [], []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        hoard.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass

def on_pressure(error):
    pressures.append(error.errno)
    if len(pressures) < 3:
        return False
    os.close(hoard.pop())
    return True

def on_accept(connection, address):
    accepted.append(address)
    connection.sendall(b"hello")
    connection.close()

acceptor = Acceptor(listener, on_accept, on_pressure=on_pressure)
acceptor.start()
assert client.recv(100) == b"hello"
assert accepted == [client.getsockname()]
assert len(pressures) == 3, pressures
acceptor.stop()
client.close()
listener.close()
"""


def test_n30_connection_waits_while_descriptors_are_out() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", OUT_OF_DESCRIPTORS],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_callback_that_raises_costs_its_connection_only(
    listener: socket.socket, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    def take(connection: socket.socket, _address: object) -> None:
        sink.take(connection)
        if len(sink.sockets) == 1:
            raise RuntimeError("no room")

    with accepting(listener, take), connect(listener) as first:
        assert first.recv(1) == b""
        with connect(listener):
            sink.wait_for(2)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# Without memory


@pytest.mark.parametrize("point", ["accept", "socket"])
def test_acceptor_without_memory_goes_on_and_keeps_no_descriptor(
    listener: socket.socket,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    point: str,
) -> None:
    refusals = iter(range(2))

    def scarce(genuine: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if next(refusals, None) is not None:
                raise MemoryError
            return genuine(*arguments)

        return call

    monkeypatch.setattr(threads, "_shortages", RareLog())
    pauses: list[float] = []
    if point == "accept":
        monkeypatch.setattr(acceptor, "_accept4", scarce(acceptor._accept4))
    made = Acceptor(listener, sink.take)
    monkeypatch.setattr(made._resumed, "wait", pauses.append)
    with made:
        if point == "socket":
            monkeypatch.setattr(made, "_wrap", scarce(made._wrap))
            for _ in range(2):
                with connect(listener) as refused:
                    assert refused.recv(1) == b""
        with connect(listener):
            sink.wait_for(1)
    assert pauses == ([0.05] * 2 if point == "accept" else [])
    said = "could not take on an accepted connection: too little memory"
    assert caplog.messages == ([said] if point == "socket" else [])
    caplog.clear()
