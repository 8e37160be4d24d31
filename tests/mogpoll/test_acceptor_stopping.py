"""An acceptor sleeps in accept, can be stopped all the same, and takes nobody's customers."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from mogpoll import Acceptor, acceptor
from tests.mogpoll.acceptors import (
    Customers,
    ScriptedAccept,
    accepting,
    connect,
    stop,
    wait_until_accepting,
)
from tests.support.threads import Running, run_all
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    pass


def test_n21_n22_stop_interrupts_a_sleeping_accept(
    listener: socket.socket, customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptedAccept(monkeypatch, [])
    with accepting(listener, customers.take):
        wait_until_accepting()
    assert script.outcomes == [errno.EINTR]
    with connect(listener), listener.accept()[0]:
        assert customers.sockets == []


def test_n23_poke_that_comes_before_the_call_is_repeated(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    poked, entered = threading.Event(), threading.Event()
    real = acceptor._accept4

    def late(fd: int) -> int:
        entered.set()
        assert poked.wait(20)
        return real(fd)

    monkeypatch.setattr(acceptor, "_accept4", late)
    made = Acceptor(listener, socket.socket.close)
    thread = made._thread
    real_poke = thread._poke

    def poke() -> None:
        real_poke()
        poked.set()

    monkeypatch.setattr(thread, "_poke", poke)
    made.start()
    assert entered.wait(20)
    stop(made)
    assert not made.is_alive()


@pytest.mark.parametrize("times", [50])
def test_stop_at_once_after_start(listener: socket.socket, times: int) -> None:
    for _ in range(times):
        made = Acceptor(listener, socket.socket.close)
        made.start()
        stop(made)
    with connect(listener), listener.accept()[0]:
        pass


def test_stop_before_start_returns_and_start_works_after_it(
    listener: socket.socket, customers: Customers
) -> None:
    made = Acceptor(listener, customers.take)
    stop(made)
    made.start()
    with connect(listener):
        customers.wait_for(1)
    stop(made)
    stop(made)


def test_stop_by_several_threads(listener: socket.socket) -> None:
    made = Acceptor(listener, socket.socket.close)
    made.start()
    run_all([made.stop] * 4)
    assert not made.is_alive()


def test_stop_under_a_stream_of_connections_loses_none(
    listener: socket.socket, customers: Customers
) -> None:
    """What was accepted is passed on; what was not is left for others."""
    clients = [connect(listener) for _ in range(300)]
    made = Acceptor(listener, customers.take)
    made.start()
    customers.wait_for(1)
    stop(made)
    listener.settimeout(0)
    left: list[socket.socket] = []
    while len(customers.sockets) + len(left) < len(clients):
        left.append(listener.accept()[0])
    expected = {client.getsockname() for client in clients}
    found = {connection.getpeername() for connection in [*customers.sockets, *left]}
    for connection in [*clients, *left]:
        connection.close()
    assert found == expected


def test_n24_poke_signal_has_a_handler_that_lets_calls_be_interrupted(
    listener: socket.socket,
) -> None:
    with accepting(listener, socket.socket.close):
        handler = signal.getsignal(signal.SIGURG)
    assert callable(handler)


def test_n25_only_the_poke_signal_and_faults_reach_the_thread(listener: socket.socket) -> None:
    masks: list[set[int]] = []
    done = threading.Event()

    def take(connection: socket.socket) -> None:
        connection.close()
        masks.append({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])})
        done.set()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with accepting(listener, take), connect(listener):
        assert done.wait(10)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP} <= masks[0]
    assert not {signal.SIGURG, signal.SIGSEGV} & masks[0]


# Where threads cannot be signalled


@pytest.fixture
def no_poke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "can_poke", lambda: False)


@pytest.mark.usefixtures("no_poke")
def test_without_signals_the_acceptor_is_woken_by_a_connection(
    listener: socket.socket, customers: Customers
) -> None:
    with accepting(listener, customers.take), connect(listener):
        customers.wait_for(1)
        wait_until_accepting()
    assert len(customers.sockets) == 1
    with connect(listener), listener.accept()[0]:
        pass


@pytest.mark.usefixtures("no_poke")
def test_without_signals_a_listener_on_every_address_can_be_left(customers: Customers) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener, accepting(listener, customers.take):
        wait_until_accepting()
    assert customers.sockets == []


@pytest.mark.usefixtures("no_poke")
def test_without_signals_a_unix_listener_can_be_left(customers: Customers) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = f"/tmp/mogpoll-test-{os.getpid()}.sock"
        listener.bind(path)
        try:
            listener.listen()
            with accepting(listener, customers.take):
                wait_until_accepting()
        finally:
            os.unlink(path)


@pytest.mark.usefixtures("no_poke")
def test_without_signals_waiting_customers_are_not_taken_for_ourselves(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptor is busy while it is told to stop; customers and our own queue up."""
    busy, go_on = threading.Event(), threading.Event()
    names: list[object] = []

    def take(connection: socket.socket) -> None:
        names.append(connection.getpeername())
        connection.close()
        busy.set()
        assert go_on.wait(20)

    made = Acceptor(listener, take)
    made.start()
    first, second = connect(listener), connect(listener)
    assert busy.wait(10)
    stopper = Running(made.stop)
    wait_until(lambda: made._own_address is not None, "it connects to itself")
    go_on.set()
    stopper.result()
    listener.settimeout(10)
    with first, second, listener.accept()[0] as left:
        assert left.getpeername() == second.getsockname()
        assert names == [first.getsockname()]


# Sharing the listener with other processes

SIBLING = """
import os, socket, sys
from mogpoll import Acceptor

listener = socket.socket(fileno=int(sys.argv[1]))

def answer(connection):
    connection.setblocking(True)
    connection.sendall(b"%d" % os.getpid())
    connection.close()

acceptor = Acceptor(listener, answer)
acceptor.start()
print("ready", flush=True)
sys.stdin.readline()
acceptor.stop()
print("stopped", flush=True)
sys.stdin.readline()
listener.detach()
"""


class Sibling:
    """A process that accepts from our listener, and answers with its number."""

    def __init__(self, listener: socket.socket) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", SIBLING, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.name = b"%d" % self._process.pid
        self._expect(b"ready")

    def stop_accepting(self) -> None:
        self._say_on()
        self._expect(b"stopped")

    def end(self) -> int:
        self._process.communicate(b"\n\n", timeout=20)
        return self._process.returncode

    def _say_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def _expect(self, word: bytes) -> None:
        assert self._process.stdout is not None
        assert Running(self._process.stdout.readline).result().strip() == word


def ask(listener: socket.socket) -> bytes:
    with connect(listener) as client:
        return client.recv(100)


def test_n22_stop_takes_no_connection_from_a_sibling_process(listener: socket.socket) -> None:
    siblings = [Sibling(listener) for _ in range(3)]
    answers: list[bytes] = []
    half, over = threading.Event(), threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            answers.append(ask(listener))
            if len(answers) >= 200:
                half.set()

    def stop_some() -> None:
        assert half.wait(20)
        siblings[0].stop_accepting()
        siblings[1].stop_accepting()
        over.set()

    run_all([ask_on, ask_on, ask_on, stop_some])
    after = [ask(listener) for _ in range(50)]
    assert [sibling.end() for sibling in siblings] == [0, 0, 0]
    names = {sibling.name for sibling in siblings}
    assert set(answers) == names
    assert set(after) == {siblings[2].name}


def test_n22_own_stop_leaves_the_listener_to_a_sibling_process(
    listener: socket.socket, customers: Customers
) -> None:
    with accepting(listener, customers.take):
        sibling = Sibling(listener)
    after = [ask(listener) for _ in range(20)]
    assert sibling.end() == 0
    assert after == [sibling.name] * 20


def test_n30_listener_that_a_sibling_made_non_blocking_is_made_blocking_again(
    listener: socket.socket, customers: Customers
) -> None:
    with accepting(listener, customers.take):
        wait_until_accepting()
        for count in (1, 2, 3):
            os.set_blocking(listener.fileno(), False)
            with connect(listener):
                customers.wait_for(count)
            wait_until(lambda: os.get_blocking(listener.fileno()), "the listener blocks")


def test_n30_listener_that_is_non_blocking_at_the_start(
    listener: socket.socket, customers: Customers
) -> None:
    listener.setblocking(False)
    with accepting(listener, customers.take), connect(listener):
        customers.wait_for(1)
        assert os.get_blocking(listener.fileno())
