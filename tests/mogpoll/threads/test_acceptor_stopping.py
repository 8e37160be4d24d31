"""An acceptor can be stopped while it blocks in accept, and loses no connection."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from mogpoll import Acceptor, acceptor
from tests.mogpoll.threads.acceptors import (
    ScriptedAccept,
    Sink,
    accepting,
    close,
    connect,
    stop,
    wait_until_accepting,
)
from tests.support.threads import Running, run_all
from tests.support.waiting import wait_until


def test_n21_n22_stop_interrupts_a_sleeping_accept(
    listener: socket.socket, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptedAccept(monkeypatch, [])
    with accepting(listener, sink.take):
        wait_until_accepting()
    assert script.outcomes == [errno.EINTR]
    with connect(listener), listener.accept()[0]:
        assert sink.sockets == []


def test_n23_poke_that_comes_before_the_call_is_repeated(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    poked, entered = threading.Event(), threading.Event()
    real = acceptor._accept4

    def late(fd: int, peer: acceptor._Peer) -> int:
        entered.set()
        assert poked.wait(20)
        return real(fd, peer)

    monkeypatch.setattr(acceptor, "_accept4", late)
    made = Acceptor(listener, close)
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
        made = Acceptor(listener, close)
        made.start()
        stop(made)
    with connect(listener), listener.accept()[0]:
        pass


def test_stop_before_start_returns_and_start_works_after_it(
    listener: socket.socket, sink: Sink
) -> None:
    made = Acceptor(listener, sink.take)
    stop(made)
    made.start()
    with connect(listener):
        sink.wait_for(1)
    stop(made)
    stop(made)


def test_stop_by_several_threads(listener: socket.socket) -> None:
    made = Acceptor(listener, close)
    made.start()
    run_all([made.stop] * 4)
    assert not made.is_alive()


def test_stop_under_a_stream_of_connections_loses_none(
    listener: socket.socket, sink: Sink
) -> None:
    """Accepted connections are passed on; the others are left in the backlog."""
    clients = [connect(listener) for _ in range(300)]
    made = Acceptor(listener, sink.take)
    made.start()
    sink.wait_for(1)
    stop(made)
    listener.settimeout(0)
    left: list[socket.socket] = []
    while len(sink.sockets) + len(left) < len(clients):
        left.append(listener.accept()[0])
    expected = {client.getsockname() for client in clients}
    found = {connection.getpeername() for connection in [*sink.sockets, *left]}
    for connection in [*clients, *left]:
        connection.close()
    assert found == expected


def test_n24_poke_signal_has_a_handler_that_lets_calls_be_interrupted(
    listener: socket.socket,
) -> None:
    with accepting(listener, close):
        handler = signal.getsignal(signal.SIGURG)
    assert callable(handler)


def test_n25_only_the_poke_signal_and_faults_reach_the_thread(listener: socket.socket) -> None:
    masks: list[set[int]] = []
    done = threading.Event()

    def take(connection: socket.socket, _address: object) -> None:
        connection.close()
        masks.append({int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])})
        done.set()

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with accepting(listener, take), connect(listener):
        assert done.wait(10)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP} <= masks[0]
    assert not {signal.SIGURG, signal.SIGSEGV} & masks[0]


# Sharing the listener with other processes

SIBLING = """
import os, socket, sys
from mogpoll import Acceptor

listener = socket.socket(fileno=int(sys.argv[1]))

def answer(connection, _address):
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
    listener: socket.socket, sink: Sink
) -> None:
    with accepting(listener, sink.take):
        sibling = Sibling(listener)
    after = [ask(listener) for _ in range(20)]
    assert sibling.end() == 0
    assert after == [sibling.name] * 20


def test_n30_listener_that_a_sibling_made_non_blocking_is_made_blocking_again(
    listener: socket.socket, sink: Sink
) -> None:
    with accepting(listener, sink.take):
        wait_until_accepting()
        for count in (1, 2, 3):
            os.set_blocking(listener.fileno(), False)
            with connect(listener):
                sink.wait_for(count)
            wait_until(lambda: os.get_blocking(listener.fileno()), "the listener blocks")


def test_n30_listener_that_is_non_blocking_at_the_start(
    listener: socket.socket, sink: Sink
) -> None:
    listener.setblocking(False)
    with accepting(listener, sink.take), connect(listener):
        sink.wait_for(1)
        assert os.get_blocking(listener.fileno())
